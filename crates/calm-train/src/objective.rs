//! What the training loop can be pointed at.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_backend::{SeededInit, ops};
use calm_compose::{Bridges, FrozenParts, RowTokens};
use calm_data::{Batch, TokenizedExample};
use calm_models::{Context, Decoder, ModelError, PaddingMask};

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
        Noisy::new(self, 0.0).loss(bridges, batch)
    }
}

/// Fits fresh bridges to the hidden states that they will read, which those of `batch` stand for:
/// [`FrozenParts::calibrate`].
#[must_use]
pub fn calibrate(parts: &FrozenParts, bridges: Bridges, batch: &Batch) -> Bridges {
    let (ids, padding) = on_device(batch, &parts.anchor.device());
    parts.calibrate(bridges, &ids, &padding)
}

/// Trains the same bridges, but lets them see the augmenting model through noise.
///
/// A few hundred examples of what a specialist knows can be learnt by heart from its hidden states.
/// Through noise only those directions can be used that carry much, and these are the ones that
/// mean the same in states never seen.
#[derive(Debug, Clone, Copy)]
pub struct Noisy<'a> {
    /// What is composed.
    pub parts: &'a FrozenParts,
    /// Standard deviation of the noise, in units of the root mean square of each state.
    pub noise: f64,
    rows: Option<&'a [RowTokens]>,
    fixed: Option<&'a Bridges>,
}

impl<'a> Noisy<'a> {
    /// Training of all bridges between these models, with so much noise.
    pub fn new(parts: &'a FrozenParts, noise: f64) -> Self {
        Self {
            parts,
            noise,
            rows: None,
            fixed: None,
        }
    }

    /// With what the augmenting models read of every example ([`read_examples`]), rather than
    /// working it out at every step.
    #[must_use]
    pub fn reading(self, examples: &'a [RowTokens]) -> Self {
        Self {
            rows: Some(examples),
            ..self
        }
    }

    /// With bridges of the first augmenting models that stay as they are: only those of the others
    /// are parameters.
    #[must_use]
    pub fn beside(self, fixed: &'a Bridges) -> Self {
        Self {
            fixed: Some(fixed),
            ..self
        }
    }
}

/// What the augmenting models read of every example that is trained on, worked out once.
///
/// # Errors
///
/// [`ModelError`] if one of them has no token for a part of a text, or no room for it.
pub fn read_examples(
    parts: &FrozenParts,
    examples: &[TokenizedExample],
) -> Result<Vec<RowTokens>, ModelError> {
    let rows = examples
        .iter()
        .map(|example| (example.inputs(), example.target_start));
    let rows: Vec<(&[u32], usize)> = rows.collect();
    parts.read_rows(&rows)
}

impl Objective for Noisy<'_> {
    type Parameters = Bridges;

    /// # Panics
    ///
    /// If an augmenting model cannot read an example, which [`read_examples`] tells in time.
    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        let anchor = &self.parts.anchor;
        let (ids, padding) = on_device(batch, &anchor.device());
        let mut noise = Noise::of(batch, self.noise);
        let perturb = |state| noise.add(state);
        let rows: Option<Vec<&RowTokens>> = self.rows.map(|rows| {
            let examples = batch.examples.iter();
            examples.map(|example| &rows[*example]).collect()
        });
        let bridges = match self.fixed {
            Some(fixed) => &fixed.clone().followed_by(bridges.clone()),
            None => bridges,
        };
        let prompts = prompts(batch, &padding);
        let hidden = self.parts.perturbed_hidden_states(
            bridges,
            ids,
            &padding,
            Some(&prompts),
            rows.as_deref(),
            perturb,
        );
        let hidden = hidden.unwrap_or_else(|error| panic!("{error}"));
        target_loss(anchor, hidden, batch)
    }
}

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

impl Objective for LanguageModelling {
    type Parameters = Decoder;

    fn loss(&self, decoder: &Decoder, batch: &Batch) -> Tensor<1> {
        let (ids, padding) = on_device(batch, &decoder.device());
        let context = Context::new(decoder, &padding, None);
        let mut hidden = decoder.embed(ids, &context);
        if self.local_blocks > 0 {
            let local = context.with_window(1, |row| row % WIDE_ROWS != 0, batch.rows);
            hidden = decoder.run(0..self.local_blocks, hidden, &local, None);
        }
        hidden = Noise::of(batch, self.noise).add(hidden);
        let blocks = self.local_blocks..decoder.block_count();
        let hidden = decoder.run(blocks, hidden, &context, None);
        target_loss(decoder, hidden, batch)
    }
}

/// One row in so many is not narrowed.
const WIDE_ROWS: usize = 10;

/// Normal noise that is a function of the batch, so that a resumed run meets the same.
struct Noise {
    init: SeededInit,
    /// In units of the root mean square of what it is added to.
    std: f64,
}

impl Noise {
    fn of(batch: &Batch, std: f64) -> Self {
        // FNV-1a: any mixing of the ids will do.
        let seed = batch.ids.iter().fold(0xcbf2_9ce4_8422_2325, |hash, id| {
            (hash ^ u64::from(*id)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let init = SeededInit::new(seed);
        Self { init, std }
    }

    /// `[batch, seq, d_model]` with noise.
    fn add(&mut self, hidden: Tensor<3>) -> Tensor<3> {
        if self.std == 0.0 {
            return hidden;
        }
        let device = hidden.device();
        let constant = device.clone().without_autodiff();
        let drawn = self.init.normal(hidden.dims(), self.std, &constant).val();
        let drawn = if device.is_autodiff() {
            Tensor::from_inner(drawn)
        } else {
            drawn
        };
        let rms = hidden.clone().detach().square().mean_dim(2).sqrt();
        hidden + drawn.cast(rms.dtype()) * rms
    }
}

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

/// Tokens of every row before its target: those up to the first position whose next token carries
/// loss.
fn prompts(batch: &Batch, padding: &PaddingMask) -> Vec<usize> {
    let mut ends = vec![batch.length; batch.rows];
    for position in batch.loss_positions.iter().rev() {
        let position = *position as usize;
        ends[position / batch.length] = position % batch.length + 1;
    }
    let count =
        |(row, end): (usize, usize)| padding.row(row)[..end].iter().filter(|real| **real).count();
    ends.into_iter().enumerate().map(count).collect()
}

fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
    let shape = [values.len()];
    Tensor::from_data(
        TensorData::new(values, shape),
        &device.clone().without_autodiff(),
    )
}
