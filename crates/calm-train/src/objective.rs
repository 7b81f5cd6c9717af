//! What the training loop can be pointed at.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_backend::ops;
use calm_compose::{Bridges, FrozenParts};
use calm_data::Batch;
use calm_models::{Context, Decoder, PaddingMask};

/// What is trained, and what it is trained to do.
///
/// Whatever is frozen belongs to the objective; only [`Objective::Parameters`] move.
pub trait Objective {
    /// The trainable part.
    type Parameters: Module;

    /// Cross-entropy summed over the target tokens of a batch, `[1]`, in nats.
    ///
    /// A sum and not a mean: only sums can be added over micro-batches of unequal size.
    fn loss(&self, parameters: &Self::Parameters, batch: &Batch) -> Tensor<1>;
}

/// Trains the bridges between frozen models (section 3.1): the graph begins at the first
/// connected anchor block.
impl Objective for FrozenParts {
    type Parameters = Bridges;

    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        let (ids, padding) = on_device(batch, &self.anchor.device());
        let hidden = self.hidden_states(bridges, ids, &padding, None);
        target_loss(&self.anchor, hidden, batch)
    }
}

/// Trains a decoder, or the adapters in it, to continue prompts by their targets: pre-training of
/// a small model, LoRA, and fine-tuning, which differ only in which parameters require gradients.
///
/// Large models take in what a text says over many blocks; a small one learns to gather it all in
/// the first, and then a bridge behind that block comes too late. With `local_blocks`, a token in
/// nine of ten rows sees only itself in that many first blocks, so that the model learns to gather
/// above them and yet knows what it is to see everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LanguageModelling {
    /// Number of first blocks that are narrowed in most rows; 0 for ordinary training.
    pub local_blocks: usize,
}

impl Objective for LanguageModelling {
    type Parameters = Decoder;

    fn loss(&self, decoder: &Decoder, batch: &Batch) -> Tensor<1> {
        let (ids, padding) = on_device(batch, &decoder.device());
        let context = Context::new(decoder, &padding, None);
        let mut hidden = decoder.embed(ids);
        if self.local_blocks > 0 {
            let local = context.with_window(1, |row| row % WIDE_ROWS != 0, batch.rows);
            hidden = decoder.run(0..self.local_blocks, hidden, &local, None);
        }
        let blocks = self.local_blocks..decoder.block_count();
        let hidden = decoder.run(blocks, hidden, &context, None);
        target_loss(decoder, hidden, batch)
    }
}

/// One row in so many is not narrowed.
const WIDE_ROWS: usize = 10;

/// Logits and loss at the positions that carry loss, and nowhere else.
fn target_loss(decoder: &Decoder, hidden: Tensor<3>, batch: &Batch) -> Tensor<1> {
    let device = hidden.device();
    let [rows, length, d_model] = hidden.dims();
    let hidden = hidden
        .reshape([rows * length, d_model])
        .select(0, indices(&batch.loss_positions, &device));
    ops::cross_entropy_sum(
        decoder.finish_positions(hidden),
        indices(&batch.targets, &device),
    )
}

fn on_device(batch: &Batch, device: &Device) -> (Tensor<2, Int>, PaddingMask) {
    let shape = [batch.rows, batch.length];
    let ids: Vec<i64> = batch.ids.iter().map(|id| i64::from(*id)).collect();
    // Ids are constants, whatever is trained.
    let device = device.clone().without_autodiff();
    let padding = PaddingMask::new(batch.rows, batch.length, |row, position| {
        batch.real[row * batch.length + position]
    });
    (
        Tensor::from_data(TensorData::new(ids, shape), &device),
        padding,
    )
}

fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
    let shape = [values.len()];
    Tensor::from_data(
        TensorData::new(values, shape),
        &device.clone().without_autodiff(),
    )
}
