//! Experts: their settings, and their tensors in files.

use std::num::NonZeroUsize;

use serde_json::{Value, json};

use super::settings::Settings;
use crate::config::{BlockConfig, ExpertWeights, ExpertsConfig, FeedForwardKind, GatedPart};
use crate::{DecoderConfig, ModelError};

/// Names of the tensors of a block's experts, in one form of files.
#[derive(Debug)]
pub(crate) struct ExpertNames {
    pub(crate) router: &'static str,
    pub(crate) tensors: ExpertTensors,
}

/// Tensors of all experts of a block.
#[derive(Debug)]
pub(crate) enum ExpertTensors {
    /// Three for each.
    Each {
        /// In front of an expert's number.
        module: &'static str,
        gate: &'static str,
        up: &'static str,
        down: &'static str,
    },
    /// Three for all, of which each has one part of every expert. The names are whole.
    StackedParts {
        gate: &'static str,
        up: &'static str,
        down: &'static str,
    },
    /// Two for all: `[experts, 2 d_ff, d_model]`, gate before up, and `[experts, d_model, d_ff]`. The names
    /// are whole.
    Stacked {
        gate_up: &'static str,
        down: &'static str,
    },
}

impl ExpertNames {
    /// The tensor that holds a part of an expert, within the block.
    pub(super) fn tensor(&self, index: usize, part: GatedPart) -> String {
        match self.tensors {
            ExpertTensors::Each {
                module,
                gate,
                up,
                down,
            } => {
                let part = match part {
                    GatedPart::Gate => gate,
                    GatedPart::Up => up,
                    GatedPart::Down => down,
                };
                format!("{module}.{index}.{part}")
            }
            ExpertTensors::StackedParts { gate, up, down } => match part {
                GatedPart::Gate => gate.to_owned(),
                GatedPart::Up => up.to_owned(),
                GatedPart::Down => down.to_owned(),
            },
            ExpertTensors::Stacked { gate_up, down } => match part {
                GatedPart::Gate | GatedPart::Up => gate_up.to_owned(),
                GatedPart::Down => down.to_owned(),
            },
        }
    }

    /// The number of a part among those of its expert in the same tensor, and how many these are; none
    /// if the tensor holds nothing else.
    pub(super) fn place(&self, part: GatedPart) -> Option<(usize, usize)> {
        match (&self.tensors, part) {
            (ExpertTensors::Each { .. }, _) => None,
            (ExpertTensors::StackedParts { .. }, _) => Some((0, 1)),
            (ExpertTensors::Stacked { .. }, GatedPart::Gate) => Some((0, 2)),
            (ExpertTensors::Stacked { .. }, GatedPart::Up) => Some((1, 2)),
            (ExpertTensors::Stacked { .. }, GatedPart::Down) => Some((0, 1)),
        }
    }

    /// Whether the tensors of a file, all of whose names are given, have these names.
    pub(super) fn are_in(&self, names: &[&str]) -> bool {
        let first = self.tensor(0, GatedPart::Down);
        let is_first = |name: &str| {
            name.strip_suffix(".weight")
                .unwrap_or(name)
                .ends_with(&first)
        };
        names.iter().any(|name| is_first(name))
    }
}

/// As `transformers` 5 has experts in memory, and writes them where it is told to.
pub(super) const STACKED: ExpertNames = ExpertNames {
    router: "mlp.gate",
    tensors: ExpertTensors::Stacked {
        gate_up: "mlp.experts.gate_up_proj",
        down: "mlp.experts.down_proj",
    },
};

/// As files of Qwen's models have them.
pub(super) const QWEN: ExpertNames = ExpertNames {
    router: "mlp.gate",
    tensors: ExpertTensors::Each {
        module: "mlp.experts",
        gate: "gate_proj",
        up: "up_proj",
        down: "down_proj",
    },
};

/// Takes the settings of the loss that spreads tokens among experts, and of noise in training.
pub(super) fn pass_over_training(settings: &mut Settings<'_>) -> Result<(), ModelError> {
    for key in [
        "output_router_logits",
        "router_aux_loss_coef",
        "router_jitter_noise",
    ] {
        settings.nullable::<Value>(key, None)?;
    }
    Ok(())
}

/// Values of settings that a file of Qwen's may leave out.
pub(super) struct Defaults {
    pub(super) count: usize,
    pub(super) used: usize,
    pub(super) d_ff: usize,
    pub(super) shared: Option<usize>,
}

/// Experts as Qwen has them: in every block, or in every so many and not in some.
pub(super) fn read(
    settings: &mut Settings<'_>,
    config: &mut DecoderConfig,
    defaults: &Defaults,
) -> Result<(), ModelError> {
    let count = settings.nullable("num_experts", None)?;
    // The name in files of `transformers` 5.
    let other = settings.nullable("num_local_experts", None)?;
    let count = count.or(other).unwrap_or(defaults.count);
    let experts = ExpertsConfig {
        count,
        used: settings.value("num_experts_per_tok", defaults.used)?,
        weights: match settings.value("norm_topk_prob", false)? {
            true => ExpertWeights::Normalized,
            false => ExpertWeights::Softmax,
        },
        shared: match defaults.shared {
            Some(width) => Some(settings.value("shared_expert_intermediate_size", width)?),
            None => None,
        },
    };
    let d_ff = settings.value("moe_intermediate_size", defaults.d_ff)?;
    let every = settings.value("decoder_sparse_step", NonZeroUsize::MIN)?;
    let without = settings.nullable::<Vec<i64>>("mlp_only_layers", None)?;
    let without = without.unwrap_or_default();
    for (index, block) in config.blocks.iter_mut().enumerate() {
        let is_left_out = without.contains(&(index as i64));
        if count > 0 && !is_left_out && (index + 1).is_multiple_of(every.get()) {
            block.feed_forward.kind = FeedForwardKind::Experts(experts);
            block.feed_forward.d_ff = d_ff;
        }
    }
    pass_over_training(settings)
}

/// The settings that [`read`] reads, and `intermediate_size`, the width of blocks without experts.
pub(super) fn write(config: &DecoderConfig) -> Value {
    let has_experts = |block: &&BlockConfig| block.feed_forward.experts().is_some();
    let sparse = config.blocks.iter().find(has_experts);
    let dense = config.blocks.iter().find(|block| !has_experts(block));
    let without = config.blocks.iter().enumerate();
    let without = without.filter(|(_, block)| !has_experts(block));
    let without: Vec<usize> = without.map(|(index, _)| index).collect();
    let any = dense.or(sparse).unwrap_or(config.first_block());
    let mut own = json!({
        "intermediate_size": any.feed_forward.d_ff,
        "num_experts": 0,
        "decoder_sparse_step": 1,
        "mlp_only_layers": without,
    });
    let layer = sparse.map(|block| &block.feed_forward);
    if let Some((layer, experts)) = layer.and_then(|layer| Some((layer, layer.experts()?))) {
        own["num_experts"] = json!(experts.count);
        own["num_experts_per_tok"] = json!(experts.used);
        own["norm_topk_prob"] = json!(experts.weights == ExpertWeights::Normalized);
        own["moe_intermediate_size"] = json!(layer.d_ff);
        if let Some(width) = experts.shared {
            own["shared_expert_intermediate_size"] = json!(width);
        }
    }
    own
}
