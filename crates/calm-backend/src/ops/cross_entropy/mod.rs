//! The loss of a language model.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "gpu")]
pub(super) mod gpu;

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits_or_half, operation};

/// `Σᵢ -ln softmax(logitsᵢ)[targetᵢ]` in `f32`: the sum, so that the caller may divide by the
/// number of targets of a whole batch when it is computed in parts.
///
/// # Shapes
///
/// - `logits`: `[n, vocab]`
/// - `targets`: `[n]`, each below `vocab`
/// - output: `[1]`
pub fn cross_entropy_sum(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&logits) {
        let (logits, targets) = (logits.into_dispatch(), targets.into_dispatch());
        return Tensor::from_dispatch(Dispatch::run(logits, targets));
    }
    plain(logits, targets)
}

/// [`cross_entropy_sum`] out of Burn's own operations.
pub fn plain(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let log_probabilities = log_softmax(logits.cast(DType::F32), 1);
    -log_probabilities
        .gather(1, targets.unsqueeze_dim::<2>(1))
        .sum()
}

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    CrossEntropy {
        inputs: [logits],
        constants: [targets: IntTensor],
        settings: [],
    }
    Flex("flex") => cpu::forward;
    Cube("gpu") => gpu::forward;
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::ops::tests::{assert_finite_differences, assert_fused, random};

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

    fn targets(count: usize, vocab: usize) -> Tensor<1, Int> {
        let targets: Vec<i64> = (0..count).map(|i| (i * 7 % vocab) as i64).collect();
        let data = burn::tensor::TensorData::new(targets, [count]);
        Tensor::from_data(data, &Device::default())
    }

    #[test]
    fn as_the_plain_composition() {
        for (rows, vocab) in [(1, 1), (2, 3), (5, 16), (7, 100), (300, 129), (3, 700)] {
            let targets = targets(rows, vocab);
            assert_fused(
                [random([rows, vocab], 3.0)],
                |[logits]| cross_entropy_sum(logits, targets.clone()),
                |[logits]| plain(logits, targets.clone()),
            );
        }
    }

    #[test]
    fn of_views_and_within_a_larger_loss() {
        let targets = targets(6, 4);
        let op = |f: fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>| {
            let targets = targets.clone();
            move |[x]: [Tensor<2>; 1]| {
                let logits = x.clone().swap_dims(0, 1).narrow(1, 1, 4);
                f(logits, targets.clone()).div_scalar(6.0) + x.square().sum()
            }
        };
        assert_fused([random([7, 6], 1.0)], op(cross_entropy_sum), op(plain));
    }

    #[test]
    fn finite_differences() {
        let targets = targets(4, 6);
        let inputs = [random([4, 6], 1.0)];
        assert_finite_differences(&inputs, |[x]| cross_entropy_sum(x, targets.clone()));
    }
}
