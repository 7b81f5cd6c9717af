//! Training of the bridges of a composition.

use std::borrow::Cow;
use std::ops::Range;

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use calm_compose::{Bridges, CachedActivations, FrozenParts, RowTokens, Text, TrainableSuffix};
use calm_data::{Batch, TokenizedExample};
use calm_models::ModelError;

use super::noise::Noise;
use super::{Objective, head};
use crate::ActivationCache;

/// Trains the bridges between frozen models (section 3.1).
///
/// Only what depends on them is computed with a graph: the anchor's blocks behind the first bridge.
/// The blocks below and the augmenting models give constants, which an [`ActivationCache`] keeps.
#[derive(Debug, Clone, Copy)]
pub struct BridgeTraining<'a> {
    parts: &'a FrozenParts,
    noise: f64,
    rows: Option<&'a [RowTokens]>,
    fixed: Option<&'a Bridges>,
    activations: Option<&'a ActivationCache>,
    checkpointing: bool,
}

impl<'a> BridgeTraining<'a> {
    /// Training of all bridges between these models.
    pub fn new(parts: &'a FrozenParts) -> Self {
        Self {
            parts,
            noise: 0.0,
            rows: None,
            fixed: None,
            activations: None,
            checkpointing: false,
        }
    }

    /// Lets the bridges see the augmenting models through normal noise, of this standard deviation
    /// in units of the root mean square of each state.
    ///
    /// A few hundred examples of what a specialist knows can be learnt by heart from its hidden
    /// states. Through noise only those directions can be used that carry much, and these are the
    /// ones that mean the same in states never seen.
    #[must_use]
    pub fn with_noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// With what the augmenting models read of every example ([`read_examples`]), rather than
    /// working it out at every step.
    #[must_use]
    pub fn with_tokens(self, examples: &'a [RowTokens]) -> Self {
        Self {
            rows: Some(examples),
            ..self
        }
    }

    /// With bridges of the first augmenting models that stay as they are: only those of the others
    /// are parameters.
    #[must_use]
    pub fn with_frozen_bridges(self, fixed: &'a Bridges) -> Self {
        Self {
            fixed: Some(fixed),
            ..self
        }
    }

    /// With a place to keep the states that no bridge changes from one epoch to the next.
    #[must_use]
    pub fn with_cache(self, activations: &'a ActivationCache) -> Self {
        Self {
            activations: Some(activations),
            ..self
        }
    }

    /// Holds the graph of one anchor block at a time and computes every block twice: for when
    /// memory is short.
    #[must_use]
    pub fn with_checkpointing(self, checkpointing: bool) -> Self {
        Self {
            checkpointing,
            ..self
        }
    }

    /// Loss of every row of a batch by itself: nats, summed over its target tokens.
    ///
    /// # Panics
    ///
    /// As [`Objective::loss`].
    pub fn row_losses(&self, bridges: &Bridges, batch: &Batch) -> Vec<f64> {
        let hidden = self.suffix(batch).hidden_states(&self.all(bridges));
        let mut start = 0;
        let counts = (0..batch.rows).map(|row| {
            let end = ((row + 1) * batch.length) as u32;
            batch
                .loss_positions
                .partition_point(|position| *position < end)
        });
        let losses = counts.map(|end| {
            let begin = std::mem::replace(&mut start, end);
            if begin == end {
                return 0.0;
            }
            let hidden = hidden.clone().narrow(0, begin, end - begin);
            let loss = head::loss(&self.parts.anchor, &hidden, &batch.targets[begin..end]);
            f64::from(loss.into_scalar::<f32>())
        });
        losses.collect()
    }

    /// # Panics
    ///
    /// If an augmenting model cannot read an example, which [`read_examples`] tells in time.
    fn suffix(&self, batch: &Batch) -> TrainableSuffix<'a> {
        let rows = self.rows_of(batch);
        let texts = texts(batch, &rows);
        // Kept are states of the true texts.
        let cache = self.activations.filter(|_| batch.augmenting_ids.is_none());
        let states = match cache {
            Some(cache) => cache.states(self.parts, &batch.examples, &texts),
            None => self.parts.activations(&texts),
        };
        let mut noise = Noise::of(batch, self.noise);
        let wanted = head::positions(batch, &self.parts.anchor.device());
        self.parts
            .trainable_suffix(&texts, states, wanted, |state| noise.add(state))
    }

    /// Tokens that the augmenting models read of every row of a batch.
    fn rows_of(&self, batch: &Batch) -> Vec<Cow<'a, RowTokens>> {
        match self.rows.filter(|_| batch.augmenting_ids.is_none()) {
            Some(rows) => {
                let examples = batch.examples.iter();
                examples
                    .map(|example| Cow::Borrowed(&rows[*example]))
                    .collect()
            }
            None => read_batch(self.parts, batch)
                .unwrap_or_else(|error| panic!("{error}"))
                .into_iter()
                .map(Cow::Owned)
                .collect(),
        }
    }

    /// Those that are trained and those that are not.
    fn all<'b>(&self, bridges: &'b Bridges) -> Cow<'b, Bridges> {
        match self.fixed {
            Some(fixed) => Cow::Owned(fixed.clone().followed_by(bridges.clone())),
            None => Cow::Borrowed(bridges),
        }
    }

    /// The blocks whose graphs are held at the same time.
    fn stages(&self, blocks: Range<usize>) -> Vec<Range<usize>> {
        if self.checkpointing && blocks.len() > 1 {
            blocks.map(|block| block..block + 1).collect()
        } else {
            vec![blocks]
        }
    }
}

impl Objective for BridgeTraining<'_> {
    type Parameters = Bridges;

    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        let hidden = self.suffix(batch).hidden_states(&self.all(bridges));
        head::loss(&self.parts.anchor, &hidden, &batch.targets)
    }

    fn gradients(&self, bridges: &Bridges, batch: &Batch) -> (f64, GradientsParams) {
        let (suffix, all) = (self.suffix(batch), self.all(bridges));
        let stages = self.stages(suffix.blocks());
        let inputs = stage_inputs(&suffix, &all, &stages);
        let mut sum = GradientsAccumulator::new();
        let mut loss = 0.0;
        // The gradient by the output of a stage, once that of the stage behind it is known.
        let mut above: Option<Tensor<3>> = None;
        for (number, (stage, input)) in stages.into_iter().zip(inputs).enumerate().rev() {
            let input = match number {
                0 => input,
                _ => Tensor::from_inner(input).require_grad(),
            };
            let output = suffix.run(&all, stage, input.clone());
            let scalar = match above.take() {
                Some(gradient) => (output * Tensor::from_inner(gradient)).sum(),
                None => {
                    let output = suffix.at_chosen(output);
                    let (sum, scalar) =
                        head::differentiated(&self.parts.anchor, output, batch, |_| {});
                    loss = sum;
                    scalar
                }
            };
            let gradients = scalar.backward();
            if number > 0 {
                above = input.grad(&gradients);
            }
            sum.accumulate(bridges, GradientsParams::from_grads(gradients, bridges));
        }
        (loss, sum.grads())
    }
}

/// Inputs of each stage, constants.
fn stage_inputs(
    suffix: &TrainableSuffix<'_>,
    bridges: &Bridges,
    stages: &[Range<usize>],
) -> Vec<Tensor<3>> {
    let mut inputs = vec![suffix.start()];
    if let Some((_, before)) = stages.split_last()
        && !before.is_empty()
    {
        let bridges = bridges.valid();
        for (number, stage) in before.iter().enumerate() {
            inputs.push(suffix.run(&bridges, stage.clone(), inputs[number].clone()));
        }
    }
    inputs
}

/// All bridges between these models, without any option.
impl Objective for FrozenParts {
    type Parameters = Bridges;

    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        BridgeTraining::new(self).loss(bridges, batch)
    }

    fn gradients(&self, bridges: &Bridges, batch: &Batch) -> (f64, GradientsParams) {
        BridgeTraining::new(self).gradients(bridges, batch)
    }
}

/// Fits fresh bridges to the hidden states that they will read, which those of `batch` stand for:
/// [`FrozenParts::calibrate`].
///
/// # Errors
///
/// [`ModelError`] if an augmenting model cannot read the batch.
pub fn calibrate(
    parts: &FrozenParts,
    bridges: Bridges,
    batch: &Batch,
) -> Result<Bridges, ModelError> {
    fitted(parts, bridges, batch, FrozenParts::calibrate)
}

/// Brings bridges that were opened to the form in which they are trained further:
/// [`FrozenParts::calibrate_trained`].
///
/// # Errors
///
/// [`ModelError`] if an augmenting model cannot read the batch.
pub fn calibrate_trained(
    parts: &FrozenParts,
    bridges: Bridges,
    batch: &Batch,
) -> Result<Bridges, ModelError> {
    fitted(parts, bridges, batch, FrozenParts::calibrate_trained)
}

fn fitted(
    parts: &FrozenParts,
    bridges: Bridges,
    batch: &Batch,
    fit: fn(&FrozenParts, Bridges, &[Text<'_>], CachedActivations) -> Bridges,
) -> Result<Bridges, ModelError> {
    let rows = read_batch(parts, batch)?;
    let rows: Vec<_> = rows.iter().map(Cow::Borrowed).collect();
    let states: CachedActivations = parts.activations(&texts(batch, &rows));
    Ok(fit(parts, bridges, &texts(batch, &rows), states))
}

/// Tokens that the augmenting models read of every training example, computed once.
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
    parts.read_rows(&rows.collect::<Vec<_>>())
}

fn read_batch(parts: &FrozenParts, batch: &Batch) -> Result<Vec<RowTokens>, ModelError> {
    let rows: Vec<_> = batch.augmenting_texts().zip(batch.prompts()).collect();
    parts.read_rows(&rows)
}

fn texts<'a>(batch: &'a Batch, rows: &'a [Cow<'_, RowTokens>]) -> Vec<Text<'a>> {
    let ids = batch.augmenting_texts().zip(batch.anchor_texts());
    let rows = ids.zip(batch.prompts()).zip(rows);
    let text = |(((ids, anchor_ids), prompt), tokens): (_, &'a Cow<'_, RowTokens>)| Text {
        ids,
        anchor_ids,
        prompt,
        tokens,
    };
    rows.map(text).collect()
}
