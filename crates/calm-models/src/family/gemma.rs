//! Gemma, the first (arXiv 2403.08295): norms that scale by one plus their weight, scaled
//! embeddings, GELU.

use serde_json::{Map, Value, json};

use super::common::{self, Defaults, Special};
use super::settings::Settings;
use super::{Spelling, names};
use crate::config::{Activation, NormKind};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
    model_type: "gemma",
    architecture: "GemmaForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

/// What all versions take for granted.
pub(super) const DEFAULTS: Defaults = Defaults {
    kv_heads: Some(16),
    d_head: Some(256),
    context_length: 8192,
    original_context: None,
    norm_epsilon: 1e-6,
    activation_key: "hidden_act",
    activation: "gelu_pytorch_tanh",
    tied_head: true,
    partial_rotary: false,
    special: Special {
        bos: Some(2),
        eos: Some(1),
        pad: Some(0),
    },
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let mut config = read_body(settings, Family::Gemma, &DEFAULTS)?;
    // The first files said `gelu` and meant the approximation, which later ones name in a key
    // beside it.
    if config.activation == Activation::Gelu {
        config.activation = Activation::GeluTanh;
    }
    settings.neutral(
        "hidden_activation",
        common::activation_name(config.activation),
    )?;
    Ok(config)
}

/// What all versions have in common.
pub(super) fn read_body(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let mut config = common::read(settings, family, defaults)?;
    config.norm = NormKind::OffsetRms;
    config.embedding_scale = Some((config.d_model as f64).sqrt());
    common::read_attention_bias(settings, &mut config)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({ "attention_bias": config.attention_bias });
    common::write(config, "hidden_act", own)
}
