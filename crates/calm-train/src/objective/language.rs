//! Training of a decoder to go on with texts.

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_data::Batch;
use calm_models::{Context, Decoder, PaddingMask, TokenTrees};

use super::noise::Noise;
use super::{Objective, head};

/// Trains a decoder, or the adapters in it, to continue prompts by their targets: pre-training of
/// a small model, LoRA, and fine-tuning, which differ only in which parameters require gradients.
///
/// Large models take in what a text says over many blocks; a small one learns to gather it all in
/// the first, and then a bridge behind that block comes too late. With `local_blocks`, a token in
/// nine of ten rows sees only itself in that many first blocks, so that the model learns to gather
/// above them and yet knows what it is to see everything.
///
/// `noise` does what dropout does in large models: the blocks above the local ones come to rely on
/// what is said loudly and more than once, and so understand a bridge that says it approximately.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LanguageModelling {
    /// Number of first blocks that are narrowed in most rows; 0 for ordinary training.
    pub local_blocks: usize,
    /// Normal noise added to the hidden states above the local blocks, in units of their root mean
    /// square; 0 for ordinary training.
    pub noise: f64,
}

/// One row in so many is not narrowed.
const WIDE_ROWS: usize = 10;

impl Objective for LanguageModelling {
    type Parameters = Decoder;

    fn loss(&self, decoder: &Decoder, batch: &Batch) -> Tensor<1> {
        head::loss(decoder, &self.hidden_states(decoder, batch), &batch.targets)
    }

    fn gradients(&self, decoder: &Decoder, batch: &Batch) -> (f64, GradientsParams) {
        let mut sum = GradientsAccumulator::new();
        let mut add = |gradients| {
            let gradients = GradientsParams::from_grads(gradients, decoder);
            sum.accumulate(decoder, gradients);
        };
        let hidden = self.hidden_states(decoder, batch);
        let (loss, of_blocks) = head::differentiated(decoder, hidden, batch, &mut add);
        add(of_blocks.backward());
        (loss, sum.grads())
    }
}

impl LanguageModelling {
    /// The last block's output at the positions that carry loss, `[n, d_model]`: all but its keys
    /// and values is computed there only.
    fn hidden_states(&self, decoder: &Decoder, batch: &Batch) -> Tensor<2> {
        let ids = ids(batch, &decoder.device());
        let context = context(decoder, batch);
        let wanted = head::positions(batch, context.device());
        let mut hidden = decoder.embed(ids, &context);
        if self.local_blocks > 0 {
            let local = context.with_window(1, |row| row % WIDE_ROWS != 0, batch.rows);
            hidden = decoder.run(0..self.local_blocks, hidden, &local, None);
        }
        hidden = Noise::of(batch, self.noise).add(hidden);
        let last = decoder.block_count() - 1;
        if self.local_blocks <= last {
            hidden = decoder.run(self.local_blocks..last, hidden, &context, None);
            let context = context.choosing(&wanted);
            hidden = decoder.run(last..last + 1, hidden, &context, None);
        } else {
            hidden = wanted.computed(hidden);
        }
        wanted.wanted(hidden)
    }
}

fn ids(batch: &Batch, device: &Device) -> Tensor<2, Int> {
    let ids = batch.anchor_ids.as_ref().unwrap_or(&batch.ids).iter();
    let ids: Vec<i64> = ids.map(|id| i64::from(*id)).collect();
    let ids = TensorData::new(ids, [batch.rows, batch.length]);
    // Ids are constants, whatever is trained.
    Tensor::from_data(ids, &device.clone().without_autodiff())
}

/// Positions and visibility of a batch. Every example sees itself alone, from its own position 0 on.
fn context(decoder: &Decoder, batch: &Batch) -> Context {
    if batch.starts.is_empty() {
        let padding = PaddingMask::new(batch.rows, batch.length, |row, position| {
            batch.real[row * batch.length + position]
        });
        return Context::new(decoder, &padding, None);
    }
    // Examples in a row are trees without branches, side by side.
    let row = |(row, text): (usize, &[u32])| {
        let before = |position: usize| {
            let at = (row * batch.length + position) as u32;
            let is_first = position == 0 || batch.starts.binary_search(&at).is_ok();
            (!is_first).then(|| position - 1)
        };
        (0..text.len()).map(before).collect()
    };
    let rows: Vec<Vec<Option<usize>>> = batch.texts().enumerate().map(row).collect();
    let nothing_held = PaddingMask::none(batch.rows, 0);
    Context::of_trees(decoder, &TokenTrees::new(&nothing_held, &rows), None)
}
