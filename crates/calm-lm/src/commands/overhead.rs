//! What a composition costs beside its anchor (appendix C of the paper).

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_lm::compose::{ComposedModel, Mode, Overhead};
use calm_lm::models::{CausalLm, ModelError, PaddingMask};
use clap::Args;
use serde_json::{Value, json};

use super::model::{Model, ModelArgs, ScaleArgs};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(super) struct OverheadArgs {
    /// Of a composition: tokens before the one whose cost is told
    #[arg(long, value_name = "TOKENS", default_value_t = 2048,
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: u32,
    /// Of a composition: load it, and measure the time per token at the end of this text, or after
    /// --context tokens of it, beside that of the anchor alone
    #[arg(long, value_name = "FILE")]
    pub(super) measure: Option<PathBuf>,
}

impl OverheadArgs {
    pub(super) fn context(&self) -> usize {
        self.context as usize
    }
}

/// Lines of the table.
pub(super) fn rows(cost: &Overhead, context: usize, mode: Mode) -> Vec<(&'static str, String)> {
    let anchor = cost.anchor.flops;
    let share = |flops: u64| format!("{flops} ({:.1} %)", 100.0 * flops as f64 / anchor as f64);
    let read = match mode {
        Mode::Iterative => "per token that they read",
        Mode::Encoder => "per token of the prompt",
    };
    let augmenting: u64 = cost.augmenting.iter().map(|cost| cost.flops).sum();
    let bridges = |part: fn(&calm_lm::compose::BridgesCost) -> u64| {
        cost.bridges.iter().map(part).sum::<u64>()
    };
    let cache: u64 = cost.augmenting.iter().map(|cost| cost.cache_bytes).sum();
    vec![
        (
            "FLOPs per token",
            format!("anchor {anchor}, after {context} tokens"),
        ),
        ("", format!("augmenting {}, {read}", share(augmenting))),
        (
            "",
            format!(
                "bridges {} and {} {read}",
                share(bridges(|cost| cost.of_anchor.flops)),
                share(bridges(|cost| cost.of_augmenting.flops)),
            ),
        ),
        (
            "cache",
            format!(
                "{} bytes per token: anchor {}, augmenting {cache}, bridges {}",
                cost.cache_bytes(),
                cost.anchor.cache_bytes,
                bridges(|cost| cost.of_augmenting.cache_bytes)
            ),
        ),
    ]
}

/// The same for programs, apart for every augmenting model.
pub(super) fn json(cost: &Overhead, context: usize) -> Value {
    let augmenting = cost.augmenting.iter().zip(&cost.bridges);
    let augmenting = augmenting.map(|(model, bridges)| {
        json!({
            "flops_per_token_read": model.flops,
            "cache_bytes_per_token_read": model.cache_bytes,
            "bridges": {
                "flops_per_anchor_token": bridges.of_anchor.flops,
                "flops_per_token_read": bridges.of_augmenting.flops,
                "cache_bytes_per_token_read": bridges.of_augmenting.cache_bytes,
            },
        })
    });
    json!({
        "context": context,
        "anchor": {
            "flops_per_token": cost.anchor.flops,
            "cache_bytes_per_token": cost.anchor.cache_bytes,
        },
        "augmenting": augmenting.collect::<Vec<_>>(),
    })
}

/// Tokens whose time is taken.
const STEPS: usize = 32;
/// How often, the anchor and the composition in turn.
const ROUNDS: usize = 3;

/// What was measured.
pub(super) struct Measured {
    after: usize,
    anchor_ms: f64,
    composed_ms: f64,
    /// Per augmenting model, tokens that it reads of the text for each of the anchor's.
    read: Vec<f64>,
}

/// Keys and values per token of the anchor where models read so many tokens for each.
fn cache_bytes(cost: &Overhead, read: &[f64]) -> f64 {
    let models = cost.augmenting.iter().zip(&cost.bridges).zip(read);
    let models = models.map(|((model, bridges), read)| {
        read * (model.cache_bytes + bridges.of_augmenting.cache_bytes) as f64
    });
    cost.anchor.cache_bytes as f64 + models.sum::<f64>()
}

impl Measured {
    pub(super) fn rows(&self, cost: &Overhead) -> Vec<(&'static str, String)> {
        let Self {
            after,
            anchor_ms,
            composed_ms,
            ..
        } = self;
        let read = self.read.iter().map(|read| format!("{read:.2}"));
        vec![
            (
                "time per token",
                format!(
                    "{composed_ms:.3} ms after {after} tokens, {:.2} times the anchor alone \
                     ({anchor_ms:.3} ms)",
                    composed_ms / anchor_ms
                ),
            ),
            (
                "tokens read",
                format!(
                    "{} per token of the anchor, whose caches have {:.0} bytes",
                    read.collect::<Vec<_>>().join(", "),
                    cache_bytes(cost, &self.read)
                ),
            ),
        ]
    }

    pub(super) fn json(&self, cost: &Overhead) -> Value {
        json!({
            "after_tokens": self.after,
            "anchor_ms_per_token": self.anchor_ms,
            "composed_ms_per_token": self.composed_ms,
            "tokens_read_per_anchor_token": self.read,
            "cache_bytes_per_anchor_token": cache_bytes(cost, &self.read),
        })
    }
}

/// Decodes the end of a text with the composition and with its anchor alone.
pub(super) fn measure(
    args: &ModelArgs,
    overhead: &OverheadArgs,
    device: &Device,
    quiet: bool,
) -> Result<Option<Measured>, Failure> {
    let Some(path) = &overhead.measure else {
        return Ok(None);
    };
    let failed = |reason: String| Failure::path(path, reason);
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let model = Model::load(args, &ScaleArgs::default(), device, quiet)?;
    let Some(composed) = model.composed() else {
        return Err(Failure::flag("--measure", "is for compositions"));
    };
    let mut ids = model.tokenizer().encode(&text, true)?.ids;
    let room = composed.context_length().min(overhead.context() + STEPS);
    ids.truncate(room);
    if ids.len() <= STEPS {
        let reason = format!("has {} tokens; more than {STEPS} are needed", ids.len());
        return Err(failed(reason));
    }
    let after = ids.len() - STEPS;
    let [mut alone, mut both] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        alone.extend(seconds(&composed.parts.anchor, &ids, after)?);
        both.extend(seconds(composed, &ids, after)?);
    }
    Ok(Some(Measured {
        after,
        anchor_ms: 1e3 * middle(alone),
        composed_ms: 1e3 * middle(both),
        read: read(composed, &ids, after)?,
    }))
}

fn read(composed: &ComposedModel, ids: &[u32], prompt: usize) -> Result<Vec<f64>, ModelError> {
    let rows = composed.parts.read_rows(&[(ids, prompt)])?;
    let counts = rows
        .iter()
        .flat_map(calm_lm::compose::RowTokens::node_counts);
    let models = composed.parts.augmenting.iter().zip(counts);
    let read = models.map(|(model, count)| match (count, model.mode) {
        (Some(count), _) => count as f64 / ids.len() as f64,
        (None, Mode::Iterative) => 1.0,
        (None, Mode::Encoder) => prompt as f64 / ids.len() as f64,
    });
    Ok(read.collect())
}

/// The time of every token from the one after `first` tokens on.
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

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
