//! Cost of a composition beside its anchor (appendix C of the paper).

use std::path::PathBuf;

use calm_lm::compose::{Latency, Mode, Overhead};
use calm_lm::models::CausalLm;
use calm_lm::terminal::silence;
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::commands::load::LoadArgs;
use crate::commands::model::{Model, ModelArgs, ScaleArgs};
use crate::failure::Failure;
use crate::report::{bytes, count};

/// Tokens whose time is taken.
const STEPS: usize = 32;

#[derive(Debug, Args)]
pub(super) struct CostArgs {
    /// For a composition: tokens before the one whose cost is counted
    #[arg(long, value_name = "TOKENS", default_value_t = 2048,
        value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    context: u32,
    /// For a composition: measure the time per token at the end of this text
    ///
    /// Beside that of the anchor alone; after --context tokens of the text, if it is longer.
    #[arg(long, value_name = "FILE")]
    pub(super) measure: Option<PathBuf>,
}

impl CostArgs {
    pub(super) fn context(&self) -> usize {
        self.context as usize
    }
}

#[derive(Serialize)]
pub(super) struct Cost {
    context: usize,
    anchor: AnchorCost,
    augmenting: Vec<AugmentingCost>,
}

#[derive(Serialize)]
struct AnchorCost {
    flops_per_token: u64,
    cache_bytes_per_token: u64,
}

#[derive(Serialize)]
struct AugmentingCost {
    flops_per_token_read: u64,
    cache_bytes_per_token_read: u64,
    bridges: BridgesCost,
}

#[derive(Serialize)]
struct BridgesCost {
    flops_per_anchor_token: u64,
    flops_per_token_read: u64,
    cache_bytes_per_token_read: u64,
}

impl Cost {
    pub(super) fn new(cost: &Overhead, context: usize) -> Self {
        let augmenting = cost.augmenting.iter().zip(&cost.bridges);
        let augmenting = augmenting.map(|(model, bridges)| AugmentingCost {
            flops_per_token_read: model.flops,
            cache_bytes_per_token_read: model.cache_bytes,
            bridges: BridgesCost {
                flops_per_anchor_token: bridges.of_anchor.flops,
                flops_per_token_read: bridges.of_augmenting.flops,
                cache_bytes_per_token_read: bridges.of_augmenting.cache_bytes,
            },
        });
        Self {
            context,
            anchor: AnchorCost {
                flops_per_token: cost.anchor.flops,
                cache_bytes_per_token: cost.anchor.cache_bytes,
            },
            augmenting: augmenting.collect(),
        }
    }

    /// Lines of the table; `cache_bytes`: those of all models per token.
    pub(super) fn rows(&self, cache_bytes: u64, mode: Mode) -> Vec<(&'static str, String)> {
        let anchor = self.anchor.flops_per_token;
        let sum = |of: fn(&AugmentingCost) -> u64| self.augmenting.iter().map(of).sum::<u64>();
        let share = |of: fn(&AugmentingCost) -> u64| {
            let flops = sum(of);
            let percent = 100.0 * flops as f64 / anchor as f64;
            format!("{} ({percent:.1} % of the anchor's)", count(flops as usize))
        };
        let read = match mode {
            Mode::Iterative => "per token that they read",
            Mode::Encoder => "per token of the prompt",
        };
        let context = self.context;
        let augmenting = share(|cost| cost.flops_per_token_read);
        let asking = share(|cost| cost.bridges.flops_per_anchor_token);
        let shown = share(|cost| cost.bridges.flops_per_token_read);
        let cache = format!(
            "{} per token: anchor {}, augmenting {}, bridges {}",
            bytes(cache_bytes),
            bytes(self.anchor.cache_bytes_per_token),
            bytes(sum(|cost| cost.cache_bytes_per_token_read)),
            bytes(sum(|cost| cost.bridges.cache_bytes_per_token_read)),
        );
        vec![
            (
                "FLOPs per token",
                format!("anchor {}, after {context} tokens", count(anchor as usize)),
            ),
            ("", format!("augmenting {augmenting}, {read}")),
            ("", format!("bridges {asking}, and {shown} {read}")),
            ("cache", cache),
        ]
    }
}

#[derive(Serialize)]
pub(super) struct Measured {
    after_tokens: usize,
    anchor_ms_per_token: f64,
    composed_ms_per_token: f64,
    /// For each augmenting model.
    tokens_read_per_anchor_token: Vec<f64>,
    cache_bytes_per_anchor_token: f64,
}

impl Measured {
    fn new(latency: Latency, cost: &Overhead) -> Self {
        Self {
            after_tokens: latency.after_tokens,
            anchor_ms_per_token: latency.anchor_ms,
            composed_ms_per_token: latency.composed_ms,
            cache_bytes_per_anchor_token: cost.cache_bytes_where(&latency.read_per_token),
            tokens_read_per_anchor_token: latency.read_per_token,
        }
    }

    pub(super) fn rows(&self) -> [(&'static str, String); 2] {
        let (anchor_ms, composed_ms) = (self.anchor_ms_per_token, self.composed_ms_per_token);
        let read = self.tokens_read_per_anchor_token.iter();
        let read: Vec<String> = read.map(|read| format!("{read:.2}")).collect();
        let time = format!(
            "{composed_ms:.3} ms after {} tokens, {:.2} times the anchor alone ({anchor_ms:.3} ms)",
            self.after_tokens,
            composed_ms / anchor_ms
        );
        let read = format!(
            "{} per token of the anchor, whose caches have {}",
            read.join(", "),
            bytes(self.cache_bytes_per_anchor_token.round() as u64)
        );
        [("time per token", time), ("tokens read", read)]
    }
}

/// Decodes the end of the text that `--measure` names, if it is given.
pub(super) fn measure(
    (model, load): (&ModelArgs, &LoadArgs),
    args: &CostArgs,
    cost: &Overhead,
    common: &Common,
) -> Result<Option<Measured>, Failure> {
    let Some(path) = &args.measure else {
        return Ok(None);
    };
    let failed = |reason: String| Failure::path(path, reason);
    let text = calm_files::read_text(path).map_err(|error| failed(error.to_string()))?;
    silence::doing("loading models");
    let model = Model::load(model, load, &ScaleArgs::default(), common)?;
    let Some(composed) = model.composed() else {
        return Err(Failure::flag("--measure", "is for compositions"));
    };
    let mut ids = model.tokenizer().encode(&text, true)?.ids;
    ids.truncate(composed.context_length().min(args.context() + STEPS));
    if ids.len() <= STEPS {
        let reason = format!("has {} tokens; more than {STEPS} are needed", ids.len());
        return Err(failed(reason));
    }
    silence::doing("measuring the time per token, with and without the bridges");
    let latency = Latency::measure(composed, &ids, ids.len() - STEPS)?;
    Ok(Some(Measured::new(latency, cost)))
}
