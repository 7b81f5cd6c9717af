//! Normalisation.

use burn::tensor::{DType, Tensor};

/// `x / √(mean(x²) + epsilon) · weight` over the last axis, computed in `f32`
/// (arXiv 1910.07467).
///
/// # Shapes
///
/// - `x`: `[.., d_model]`
/// - `weight`: `[d_model]`
/// - output: as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
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
}
