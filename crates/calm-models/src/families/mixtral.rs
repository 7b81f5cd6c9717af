//! Mixtral (arXiv 2401.04088): Mistral with experts in every block.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::experts::{self, ExpertNames, ExpertTensors};
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{ExpertWeights, ExpertsConfig, FeedForwardKind};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "mixtral",
    architecture: "MixtralForCausalLM",
    read,
    write,
    names: &Names {
        experts: &[
            ExpertNames {
                router: "block_sparse_moe.gate",
                tensors: ExpertTensors::Each {
                    module: "block_sparse_moe.experts",
                    gate: "w1",
                    up: "w3",
                    down: "w2",
                },
            },
            experts::STACKED,
        ],
        ..names::LLAMA
    },
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(8),
        context_length: 4096 * 32,
        norm_epsilon: 1e-5,
        rope_theta: 1e6,
        special: Special {
            bos: Some(1),
            eos: Some(2),
            pad: None,
        },
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Mixtral, &defaults)?;
    let window = settings.nullable("sliding_window", None)?;
    let kind = FeedForwardKind::Experts(ExpertsConfig {
        count: settings.value("num_local_experts", 8)?,
        used: settings.value("num_experts_per_tok", 2)?,
        weights: ExpertWeights::UnroundedNormalized,
        shared: None,
    });
    for block in &mut config.blocks {
        block.attention.window = window;
        block.feed_forward.kind = kind;
    }
    experts::pass_over_training(settings)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let experts = config.first_block().feed_forward.experts();
    let own = json!({
        "sliding_window": llama_like::write_window(config),
        "num_local_experts": experts.map(|experts| experts.count),
        "num_experts_per_tok": experts.map(|experts| experts.used),
    });
    llama_like::write(config, "hidden_act", own)
}
