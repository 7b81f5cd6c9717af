//! Gaussian error linear units.

use burn::tensor::{DType, Tensor, activation};

/// `x · Φ(x)`, Φ the normal distribution function (arXiv 1606.08415), computed in `f32`.
///
/// # Shapes
///
/// - `x`, output: any
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    activation::gelu(x.cast(DType::F32)).cast(dtype)
}

/// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`, the approximation that GPT-2 and Gemma were
/// trained with, computed in `f32`.
///
/// # Shapes
///
/// - `x`, output: any
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let scale = (2.0 / std::f64::consts::PI).sqrt();
    let cubic = x.clone().square() * (0.044715 * scale) + scale;
    let inner = cubic * x.clone();
    ((inner.tanh() + 1.0) * x * 0.5).cast(dtype)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    fn assert_values(found: Tensor<1>, expected: [f32; 4]) {
        let expected = Tensor::<1>::from_floats(expected, &Device::default());
        found
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(2e-6));
    }

    #[test]
    fn known_values() {
        let x = Tensor::<1>::from_floats([-2.0, 0.0, 0.5, 3.0], &Device::default());
        assert_values(
            gelu(x.clone()),
            [-0.045_500_3, 0.0, 0.345_731_2, 2.995_950_2],
        );
        assert_values(gelu_tanh(x), [-0.045_402_3, 0.0, 0.345_714, 2.996_362_6]);
    }
}
