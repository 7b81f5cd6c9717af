//! Logits and loss: at the positions that carry loss and nowhere else, and for a large vocabulary
//! a few of them at a time.

use std::ops::Range;

use burn::tensor::{Device, Gradients, Tensor};
use calm_backend::ops;
use calm_data::Batch;
use calm_models::{ChosenPositions, Decoder};

use super::indices;

/// Logits that are held at a time: 64 MiB in `f32`.
const LOGITS_HELD: usize = 1 << 24;

/// The positions that carry loss.
pub(super) fn positions(batch: &Batch, device: &Device) -> ChosenPositions {
    ChosenPositions::new(&batch.loss_positions, [batch.rows, batch.length], device)
}

/// Summed over the positions that carry loss, `[1]`. `hidden` is the last block's output there,
/// `[n, d_model]`.
pub(super) fn loss(decoder: &Decoder, hidden: &Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let parts = chunks(decoder, targets.len()).map(|part| {
        let hidden = hidden.clone().narrow(0, part.start, part.len());
        part_loss(decoder, hidden, &targets[part])
    });
    let sum = parts.reduce(|sum, part| sum + part);
    sum.unwrap_or_else(|| Tensor::zeros([1], &hidden.device()))
}

/// The loss, and a `[1]` whose gradient is the loss's gradient by `hidden` and by all that it came
/// of. What the gradients by the final norm and the head are is told to `of_head`, part by part.
///
/// Each part is differentiated by itself, so that no more logits are held than [`LOGITS_HELD`].
pub(super) fn differentiated(
    decoder: &Decoder,
    hidden: Tensor<2>,
    batch: &Batch,
    mut of_head: impl FnMut(Gradients),
) -> (f64, Tensor<1>) {
    let constant = hidden.clone().inner();
    let mut sum = 0.0;
    let mut gradient = Vec::new();
    for part in chunks(decoder, batch.target_tokens()) {
        let hidden = constant.clone().narrow(0, part.start, part.len());
        let hidden = Tensor::from_inner(hidden).require_grad();
        let loss = part_loss(decoder, hidden.clone(), &batch.targets[part]);
        let gradients = loss.backward();
        sum += f64::from(loss.into_scalar::<f32>());
        gradient.extend(hidden.grad(&gradients));
        of_head(gradients);
    }
    if gradient.is_empty() {
        // Nothing carries loss.
        return (sum, hidden.sum() * 0.0);
    }
    let gradient = Tensor::from_inner(Tensor::cat(gradient, 0));
    (sum, (hidden * gradient).sum())
}

/// Which of them are taken together.
fn chunks(decoder: &Decoder, count: usize) -> impl Iterator<Item = Range<usize>> {
    let held = (LOGITS_HELD / decoder.config().vocab_size).max(ops::BATCH_INVARIANT_ROWS);
    (0..count)
        .step_by(held)
        .map(move |start| start..count.min(start + held))
}

fn part_loss(decoder: &Decoder, hidden: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let targets = indices(targets, &hidden.device());
    ops::cross_entropy_sum(decoder.finish_positions(hidden), targets)
}
