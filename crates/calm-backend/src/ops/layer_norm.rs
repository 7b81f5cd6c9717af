//! Normalisation to mean zero and variance one.

use burn::tensor::{DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

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
        let output = Dispatch::layer_norm(x.into_dispatch(), weight, bias, epsilon as f32);
        return Tensor::from_dispatch(output);
    }
    plain(x, weight, bias, epsilon)
}

/// [`layer_norm`] out of Burn's own operations.
pub fn plain<const D: usize>(
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    #[test]
    fn by_hand() {
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

    /// Inputs of one shape, of which the vectors take the first row.
    fn of_rows(norm: Norm) -> impl Fn([Tensor<2>; 3]) -> Tensor<2> {
        move |[x, weight, bias]| {
            let [weight, bias] = [weight, bias].map(|x| x.narrow(0, 0, 1).flatten(0, 1));
            norm(x, weight, bias, 1e-2)
        }
    }

    #[test]
    fn as_the_plain_composition() {
        for shape in [[1, 1], [3, 5], [7, 16], [2, 33], [300, 130]] {
            let inputs = [(); 3].map(|()| random(shape, 2.0) + 1.0);
            assert_fused(inputs, of_rows(layer_norm), of_rows(plain));
        }
    }

    #[test]
    fn of_views_and_of_frozen_vectors() {
        let vectors = [(); 2].map(|()| random([4], 1.0));
        let op = |norm: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>| {
            let [weight, bias] = vectors.clone();
            move |[x]: [Tensor<3>; 1]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                norm(x, weight.clone(), bias.clone(), 1e-5)
            }
        };
        assert_fused([random([4, 6, 10], 2.0)], op(layer_norm), op(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [(); 3].map(|()| random([3, 8], 1.0));
        assert_finite_differences(&inputs, of_rows(layer_norm));
    }
}
