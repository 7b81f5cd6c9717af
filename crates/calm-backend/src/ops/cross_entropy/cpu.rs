//! Cross-entropy on the processor.

use std::iter::zip;

use burn::backend::Flex;
use burn::backend::ops::IntTensorOps;
use burn::backend::tensor::IntTensor;
use burn::tensor::{IntDType, TensorData};

use crate::ops::cpu::{
    FlexTensor, contiguous, exp, fill, max, run, sum, task_of_rows, with_shape_of,
};
use crate::ops::operation::BackwardState;

/// The logits, and for each row its target and the logarithm of its sum of exponentials.
#[derive(Debug, Clone)]
struct Rows {
    logits: FlexTensor,
    targets: Vec<usize>,
    log_sums: Vec<f32>,
}

pub(crate) fn forward(
    logits: FlexTensor,
    targets: IntTensor<Flex>,
    _: [bool; 1],
) -> (FlexTensor, impl BackwardState<Flex, 1>) {
    let logits = contiguous(logits);
    let targets = indices(targets);
    let log_sums = log_sums(&logits);
    let values: &[f32] = logits.storage();
    let vocab = logits.layout().shape()[1];
    // In `f64`: the loss is a sum of very many numbers.
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
    let sum = sum(row, row, |logit, _| exp(logit - largest));
    largest + sum.ln()
}

impl BackwardState<Flex, 1> for Rows {
    fn backward(self, gradient: FlexTensor, [needs_logits]: [bool; 1]) -> [Option<FlexTensor>; 1] {
        [needs_logits.then(|| self.logits_gradient(contiguous(gradient).storage()[0]))]
    }
}

impl Rows {
    /// `output · (softmax(logits) - 1 at the target)`, `output` being the gradient of the loss.
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
                for ((gradient, logits), (target, log_sum)) in zip(rows, zip(targets, log_sums)) {
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
