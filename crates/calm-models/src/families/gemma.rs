//! Gemma, the first (arXiv 2403.08295): norms that scale by one plus their weight, scaled
//! embeddings, GELU.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::config::{Activation, EmbeddingScale, NormConfig, NormKind};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "gemma",
    architecture: "GemmaForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

/// Defaults of all versions.
pub(super) const DEFAULTS: Defaults = Defaults {
    kv_heads: Some(16),
    d_head: Some(256),
    context_length: 8192,
    original_context: None,
    norm_key: "rms_norm_eps",
    norm_epsilon: 1e-6,
    rope_theta: 1e4,
    activation_key: "hidden_act",
    activation: "gelu_pytorch_tanh",
    tied_head: true,
    partial_rotary: None,
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
    for block in &mut config.blocks {
        if block.feed_forward.activation == Activation::Gelu {
            block.feed_forward.activation = Activation::GeluTanh;
        }
    }
    let activation = config.first_block().feed_forward.activation;
    let name = llama_like::activation_name(activation);
    settings.neutral("hidden_activation", name)?;
    Ok(config)
}

/// Settings of all versions.
pub(super) fn read_body(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let config = llama_like::read(settings, family, defaults)?;
    let norm = NormConfig {
        kind: NormKind::OffsetRms,
        ..config.final_norm
    };
    let mut config = llama_like::with_norms(config, norm);
    let scale = (config.d_model as f64).sqrt();
    config.embedding.scale = Some(EmbeddingScale::Rounded(scale));
    llama_like::read_attention_bias(settings, &mut config)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({ "attention_bias": config.first_block().attention.qkv_bias });
    llama_like::write(config, "hidden_act", own)
}
