//! Normalisation by the root mean square.

use burn::tensor::{DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

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
        return Tensor::from_dispatch(Dispatch::rms_norm(x, weight, epsilon as f32));
    }
    plain(x, weight, epsilon)
}

/// [`rms_norm`] out of Burn's own operations.
pub fn plain<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mean_square = x.clone().square().mean_dim(D - 1);
    // One reciprocal per row and a product, rather than a quotient per element.
    let normed = x * (mean_square + epsilon).sqrt().recip();
    normed.cast(dtype) * weight.unsqueeze()
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    #[test]
    fn by_hand() {
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
    fn as_the_plain_composition() {
        for (rows, width) in [(1, 1), (3, 5), (7, 16), (2, 33), (300, 130), (70, 300)] {
            let (x, weight) = (random([rows, width], 2.0), random([1, width], 1.0));
            let fused = |x, weight: Tensor<2>| rms_norm(x, weight.flatten(0, 1), 1e-2);
            let reference = |x, weight: Tensor<2>| plain(x, weight.flatten(0, 1), 1e-2);
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
    fn both_gradients_together_and_of_views() {
        let inputs = [random([4, 6, 10], 2.0), random([1, 1, 4], 1.0)];
        let op = |f: fn(Tensor<3>, Tensor<1>, f64) -> Tensor<3>| {
            move |[x, weight]: [Tensor<3>; 2]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                f(x, weight.flatten(0, 2), 1e-5)
            }
        };
        assert_fused(inputs, op(rms_norm), op(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [random([3, 8], 1.0), random([1, 8], 1.0)];
        assert_finite_differences(&inputs, |[x, weight]| {
            rms_norm(x, weight.flatten(0, 1), 1e-5)
        });
    }
}
