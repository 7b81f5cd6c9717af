//! Measured cost of a composition: time per token beside its anchor alone.

use std::time::Instant;

use burn::tensor::{Int, Tensor, TensorData};
use calm_models::{CausalLm, ModelError, PaddingMask};

use crate::{ComposedModel, Mode, RowTokens};

/// Number of measurements of anchor and composition, in turn.
const ROUNDS: usize = 3;

/// Time per decoded token, and how much the augmenting models read.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    /// Tokens before those whose time was taken.
    pub after_tokens: usize,
    /// Median time per token of the anchor alone, in milliseconds.
    pub anchor_ms: f64,
    /// The same of the composition.
    pub composed_ms: f64,
    /// Per augmenting model, tokens that it reads of the text for each of the anchor's.
    pub read_per_token: Vec<f64>,
}

impl Latency {
    /// Decodes the end of a text with the composition and with its anchor alone: every token from
    /// the one after the first `after_tokens` on.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the text is longer than a model can read, or the device fails.
    pub fn measure(
        model: &ComposedModel,
        ids: &[u32],
        after_tokens: usize,
    ) -> Result<Self, ModelError> {
        let [mut alone, mut both] = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            alone.extend(seconds(&model.parts.anchor, ids, after_tokens)?);
            both.extend(seconds(model, ids, after_tokens)?);
        }
        Ok(Self {
            after_tokens,
            anchor_ms: 1e3 * median(alone),
            composed_ms: 1e3 * median(both),
            read_per_token: read(model, ids, after_tokens)?,
        })
    }
}

fn read(model: &ComposedModel, ids: &[u32], prompt: usize) -> Result<Vec<f64>, ModelError> {
    let rows = model.parts.read_rows(&[(ids, prompt)])?;
    let counts = rows.iter().flat_map(RowTokens::node_counts);
    let models = model.parts.augmenting.iter().zip(counts);
    let read = models.map(|(model, count)| match (count, model.mode) {
        (Some(count), _) => count as f64 / ids.len() as f64,
        (None, Mode::Iterative) => 1.0,
        (None, Mode::Encoder) => prompt as f64 / ids.len() as f64,
    });
    Ok(read.collect())
}

/// Seconds of every token from the one after `first` tokens on.
fn seconds<M: CausalLm>(model: &M, ids: &[u32], first: usize) -> Result<Vec<f64>, ModelError> {
    let mut cache = model.new_cache(1);
    let mut step = |ids: &[u32]| {
        let begun = Instant::now();
        let padding = PaddingMask::none(1, ids.len());
        let signed: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
        let data = TensorData::new(signed, [1, ids.len()]);
        let device = model.head().device();
        let hidden = model.hidden_states(
            Tensor::<2, Int>::from_data(data, &device),
            &padding,
            Some(&mut cache),
        )?;
        let last = hidden.narrow(1, ids.len() - 1, 1).squeeze_dim::<2>(1);
        let likeliest = model.head().finish_positions(last).argmax(1);
        let likeliest = likeliest.try_into_vec_as::<u32>();
        likeliest.map_err(|source| ModelError::Device { source })?;
        Ok(begun.elapsed().as_secs_f64())
    };
    step(&ids[..first])?;
    ids[first..].iter().map(|id| step(&[*id])).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
