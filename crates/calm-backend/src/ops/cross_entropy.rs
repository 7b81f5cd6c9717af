//! The loss of a language model.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

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
        return Tensor::from_dispatch(Dispatch::cross_entropy_sum(logits, targets));
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

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::iter::zip;

    use burn::backend::Flex;
    use burn::backend::ops::IntTensorOps;
    use burn::backend::tensor::IntTensor;
    use burn::tensor::{IntDType, TensorData};

    use super::super::extension::Saved;
    use super::super::kernel::{contiguous, exp, fill, max, run, task_of_rows, with_shape_of};
    use super::super::processor::FlexTensor;

    /// The logits, and for each row its target and the logarithm of its sum of exponentials.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Rows {
        logits: FlexTensor,
        targets: Vec<usize>,
        log_sums: Vec<f32>,
    }

    pub(in super::super) fn forward(
        logits: FlexTensor,
        targets: IntTensor<Flex>,
    ) -> (FlexTensor, Rows) {
        let logits = contiguous(logits);
        let targets = indices(targets);
        let log_sums = log_sums(&logits);
        let values: &[f32] = logits.storage();
        let vocab = logits.layout().shape()[1];
        // In `f64`: one loss is the sum of very many numbers.
        let loss: f64 = zip(zip(values.chunks(vocab), &targets), &log_sums)
            .map(|((row, target), log_sum)| f64::from(log_sum - row[*target]))
            .sum();
        let output = FlexTensor::from_data(TensorData::new(vec![loss as f32], [1]));
        let rows = Rows {
            logits,
            targets,
            log_sums,
        };
        (output, rows)
    }

    fn indices(targets: IntTensor<Flex>) -> Vec<usize> {
        let targets = contiguous(Flex::int_cast(targets, IntDType::I64));
        let to_index = |target: &i64| usize::try_from(*target).expect("targets are below vocab");
        targets.storage::<i64>().iter().map(to_index).collect()
    }

    fn log_sums(logits: &FlexTensor) -> Vec<f32> {
        let shape = logits.layout().shape();
        let (rows, vocab) = (shape[0], shape[1]);
        let task = task_of_rows(vocab);
        let logits: &[f32] = logits.storage();
        let mut log_sums = vec![0.0; rows];
        run(
            logits.len(),
            zip(log_sums.chunks_mut(task / vocab), logits.chunks(task)),
            #[inline(always)]
            |(log_sums, logits)| {
                for (log_sum, row) in zip(log_sums, logits.chunks(vocab)) {
                    *log_sum = log_sum_exp(row);
                }
            },
        );
        log_sums
    }

    #[inline(always)]
    fn log_sum_exp(row: &[f32]) -> f32 {
        let largest = max(row);
        let sum = super::super::kernel::sum(row, row, |logit, _| exp(logit - largest));
        largest + sum.ln()
    }

    impl Saved<Flex, 1> for Rows {
        fn gradients(self, output: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
            [wanted.then(|| self.logits_gradient(contiguous(output).storage()[0]))]
        }
    }

    impl Rows {
        /// `output · (softmax - 1 at the target)`.
        fn logits_gradient(&self, output: f32) -> FlexTensor {
            let vocab = self.logits.layout().shape()[1];
            let task = task_of_rows(vocab);
            let logits: &[f32] = self.logits.storage();
            let rows = zip(
                self.targets.chunks(task / vocab),
                self.log_sums.chunks(task / vocab),
            );
            let gradient = fill(
                logits.len(),
                task,
                zip(logits.chunks(task), rows),
                #[inline(always)]
                |gradient, (logits, (targets, log_sums))| {
                    let rows = zip(gradient.chunks_mut(vocab), logits.chunks(vocab));
                    for ((gradient, logits), (target, log_sum)) in zip(rows, zip(targets, log_sums))
                    {
                        for (gradient, logit) in zip(&mut *gradient, logits) {
                            *gradient = output * exp(logit - log_sum);
                        }
                        gradient[*target] -= output;
                    }
                },
            );
            with_shape_of(&self.logits, gradient)
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

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
