//! A projection.

#[cfg(feature = "flex")]
use burn::tensor::DType;
use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
use super::extension::is_on_processor;

/// `x · weight + bias`.
///
/// On the processor, where Burn multiplies half precision in `f32` in any case, the bias is added
/// before the sum is rounded, as `transformers` has it.
///
/// # Shapes
///
/// - `x`: `[.., d_input]`
/// - `weight`: `[d_input, d_output]`
/// - `bias`: `[d_output]`
/// - output: `[.., d_output]`
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if let Some(bias) = &bias
        && x.dtype() != DType::F32
        && is_on_processor(&x)
    {
        let dtype = x.dtype();
        let (x, weight) = (x.cast(DType::F32), weight.cast(DType::F32));
        let bias = bias.clone().cast(DType::F32);
        return module::linear(x, weight, Some(bias)).cast(dtype);
    }
    module::linear(x, weight, bias)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_bias_is_added_before_rounding() {
        let device = Device::default();
        let half = |x: Tensor<2>| x.cast(DType::BF16);
        // 256 + 0.75 + 0.75; bf16 has steps of 2 there, so that rounding in between gives 256.
        let x = half(Tensor::from_floats([[16.0, 0.75]], &device));
        let weight = half(Tensor::from_floats([[16.0], [1.0]], &device));
        let bias = Tensor::<1>::from_floats([0.75], &device).cast(DType::BF16);
        let found: f32 = linear(x, weight, Some(bias)).into_scalar();
        assert_eq!(found, 258.0);
    }
}
