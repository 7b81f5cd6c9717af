//! The loss of a language model.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor};

/// `Σᵢ -ln softmax(logitsᵢ)[targetᵢ]` in `f32`: the sum, so that the caller may divide by the
/// number of targets of a whole batch when it is computed in parts.
///
/// # Shapes
///
/// - `logits`: `[n, vocab]`
/// - `targets`: `[n]`, each below `vocab`
/// - output: `[1]`
pub fn cross_entropy_sum(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let log_probabilities = log_softmax(logits.cast(DType::F32), 1);
    -log_probabilities
        .gather(1, targets.unsqueeze_dim::<2>(1))
        .sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::default();
        // Probabilities 1/4, 3/4 and 1/2, 1/2.
        let logits = Tensor::<2>::from_floats([[0.0, 3f32.ln()], [7.0, 7.0]], &device);
        let targets = Tensor::<1, Int>::from_ints([1, 0], &device);
        let loss = cross_entropy_sum(logits, targets).into_scalar::<f32>();
        let expected = (4f32 / 3.0).ln() + 2f32.ln();
        assert!((loss - expected).abs() < 1e-6, "{loss} {expected}");
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let device = Device::default();
        let logits = Tensor::<2>::from_floats([[1e4, -1e4]], &device);
        let targets = Tensor::<1, Int>::from_ints([1], &device);
        assert_eq!(cross_entropy_sum(logits, targets).into_scalar::<f32>(), 2e4);
    }
}
