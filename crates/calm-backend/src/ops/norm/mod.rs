//! RMSNorm and LayerNorm. The kernels are the same, with or without the mean.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "gpu")]
pub(super) mod gpu;

use burn::tensor::{DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits_or_half, operation};

/// `x / √(mean(x²) + epsilon) · weight` over the last axis, computed in `f32`
/// (arXiv 1910.07467).
///
/// # Shapes
///
/// - `x`: `[.., d_model]`
/// - `weight`: `[d_model]`
/// - output: as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&x) && fits_or_half(&weight) && x.dtype() == weight.dtype() {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let output = <Dispatch as RmsNorm>::run(x, weight, epsilon as f32);
        return Tensor::from_dispatch(output);
    }
    plain::rms_norm(x, weight, epsilon)
}

/// `(x - mean(x)) / √(var(x) + epsilon) · weight + bias` over the last axis, computed in `f32`
/// (arXiv 1607.06450).
///
/// # Shapes
///
/// - `x`: `[.., d_model]`
/// - `weight`, `bias`: `[d_model]`
/// - output: as `x`
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&x) && [weight.dtype(), bias.dtype()] == [x.dtype(); 2] {
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        let output = <Dispatch as LayerNorm>::run(x.into_dispatch(), weight, bias, epsilon as f32);
        return Tensor::from_dispatch(output);
    }
    plain::layer_norm(x, weight, bias, epsilon)
}

/// The same out of Burn's own operations.
pub(super) mod plain {
    use super::*;

    /// [`rms_norm`](super::rms_norm) out of Burn's own operations.
    pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let mean_square = x.clone().square().mean_dim(D - 1);
        // One reciprocal per row and a product, rather than a quotient per element.
        let normed = x * (mean_square + epsilon).sqrt().recip();
        normed.cast(dtype) * weight.unsqueeze()
    }

    /// [`layer_norm`](super::layer_norm) out of Burn's own operations.
    pub fn layer_norm<const D: usize>(
        x: Tensor<D>,
        weight: Tensor<1>,
        bias: Tensor<1>,
        epsilon: f64,
    ) -> Tensor<D> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let centred = x.clone() - x.mean_dim(D - 1);
        let variance = centred.clone().square().mean_dim(D - 1);
        let normed = centred * (variance + epsilon).sqrt().recip();
        let [weight, bias] = [weight, bias].map(|x| x.cast(DType::F32).unsqueeze());
        (normed * weight + bias).cast(dtype)
    }
}

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    RmsNorm {
        inputs: [x, weight],
        constants: [],
        settings: [epsilon: f32],
    }
    Flex("flex") => cpu::rms_norm;
    Cube("gpu") => gpu::rms_norm;
}

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    LayerNorm {
        inputs: [x, weight, bias],
        constants: [],
        settings: [epsilon: f32],
    }
    Flex("flex") => cpu::layer_norm;
    Cube("gpu") => gpu::layer_norm;
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::tests::{assert_finite_differences, assert_fused, random};

    #[test]
    fn rms_norm_by_hand() {
        let device = Device::default();
        let x = Tensor::<2>::from_floats([[3.0, -4.0], [0.0, 0.0]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
        // mean(x²) = 12.5, so with epsilon 12.5 the root is 5.
        let expected = Tensor::<2>::from_floats([[0.6, -1.6], [0.0, 0.0]], &device);
        let tolerance = Tolerance::absolute(1e-6);
        rms_norm(x, weight, 12.5)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), tolerance);
    }

    #[test]
    fn rms_norm_as_the_plain_composition() {
        for (rows, width) in [(1, 1), (3, 5), (7, 16), (2, 33), (300, 130), (70, 300)] {
            let (x, weight) = (random([rows, width], 2.0), random([1, width], 1.0));
            let fused = |x, weight: Tensor<2>| rms_norm(x, weight.flatten(0, 1), 1e-2);
            let reference = |x, weight: Tensor<2>| plain::rms_norm(x, weight.flatten(0, 1), 1e-2);
            assert_fused(
                [x.clone()],
                |[x]| fused(x, weight.clone()),
                |[x]| reference(x, weight.clone()),
            );
            assert_fused(
                [weight.clone()],
                |[weight]| fused(x.clone(), weight),
                |[weight]| reference(x.clone(), weight),
            );
        }
    }

    #[test]
    fn rms_norm_both_gradients_together_and_of_views() {
        let inputs = [random([4, 6, 10], 2.0), random([1, 1, 4], 1.0)];
        let op = |f: fn(Tensor<3>, Tensor<1>, f64) -> Tensor<3>| {
            move |[x, weight]: [Tensor<3>; 2]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                f(x, weight.flatten(0, 2), 1e-5)
            }
        };
        assert_fused(inputs, op(rms_norm), op(plain::rms_norm));
    }

    #[test]
    fn rms_norm_finite_differences() {
        let inputs = [random([3, 8], 1.0), random([1, 8], 1.0)];
        assert_finite_differences(&inputs, |[x, weight]| {
            rms_norm(x, weight.flatten(0, 1), 1e-5)
        });
    }

    #[test]
    fn layer_norm_by_hand() {
        let device = Device::default();
        let x = Tensor::<2>::from_floats([[5.0, 1.0], [7.0, 7.0]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
        let bias = Tensor::<1>::from_floats([0.0, 0.5], &device);
        // Mean 3 and variance 4, so with epsilon 12 the root is 4.
        let expected = Tensor::<2>::from_floats([[0.5, -0.5], [0.0, 0.5]], &device);
        layer_norm(x, weight, bias, 12.0)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }

    type Norm = fn(Tensor<2>, Tensor<1>, Tensor<1>, f64) -> Tensor<2>;

    /// A norm of inputs of one shape: the vectors are first rows.
    fn of_rows(norm: Norm) -> impl Fn([Tensor<2>; 3]) -> Tensor<2> {
        move |[x, weight, bias]| {
            let [weight, bias] = [weight, bias].map(|x| x.narrow(0, 0, 1).flatten(0, 1));
            norm(x, weight, bias, 1e-2)
        }
    }

    #[test]
    fn layer_norm_as_the_plain_composition() {
        for shape in [[1, 1], [3, 5], [7, 16], [2, 33], [300, 130]] {
            let inputs = [(); 3].map(|()| random(shape, 2.0) + 1.0);
            assert_fused(inputs, of_rows(layer_norm), of_rows(plain::layer_norm));
        }
    }

    #[test]
    fn layer_norm_of_views_and_of_frozen_vectors() {
        let vectors = [(); 2].map(|()| random([4], 1.0));
        let op = |norm: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>| {
            let [weight, bias] = vectors.clone();
            move |[x]: [Tensor<3>; 1]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                norm(x, weight.clone(), bias.clone(), 1e-5)
            }
        };
        assert_fused(
            [random([4, 6, 10], 2.0)],
            op(layer_norm),
            op(plain::layer_norm),
        );
    }

    #[test]
    fn layer_norm_finite_differences() {
        let inputs = [(); 3].map(|()| random([3, 8], 1.0));
        assert_finite_differences(&inputs, of_rows(layer_norm));
    }
}
