//! Gemma 2 (arXiv 2408.00118): Gemma with norms after its parts, bounded scores and logits, and a
//! window in every other block.

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::settings::Settings;
use super::{FamilySpec, gemma, llama_like, names};
use crate::config::{ResidualConfig, ScoreScale};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    read,
    write,
    names: &names::GEMMA2,
};

pub(super) const DEFAULTS: Defaults = Defaults {
    kv_heads: Some(4),
    activation_key: "hidden_activation",
    ..gemma::DEFAULTS
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let mut config = read_body(settings, Family::Gemma2, &DEFAULTS)?;
    let softcap = settings.nullable("attn_logit_softcapping", Some(50.0))?;
    for block in &mut config.blocks {
        block.attention.softcap = softcap;
    }
    config.head.softcap = settings.nullable("final_logit_softcapping", Some(30.0))?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    // The name of the first files, beside the later one.
    settings.neutral("sliding_window_size", window)?;
    llama_like::read_layer_types(settings, &mut config, window, |block| block % 2 == 0)?;
    Ok(config)
}

/// Settings of this version and the next.
pub(super) fn read_body(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let mut config = gemma::read_body(settings, family, defaults)?;
    let scale = ScoreScale::InverseRoot(settings.value("query_pre_attn_scalar", 256.0)?);
    for block in &mut config.blocks {
        block.residual = ResidualConfig::SandwichNorm;
        block.attention.scale = scale;
    }
    // The first version's key, which `transformers` does not look at here.
    let activation = config.first_block().feed_forward.activation;
    settings.neutral("hidden_act", llama_like::activation_name(activation))?;
    Ok(config)
}

pub(super) fn write_own(config: &DecoderConfig) -> Value {
    let attention = &config.first_block().attention;
    let query_scalar = match attention.scale {
        ScoreScale::InverseRoot(scalar) => Some(scalar),
        _ => None,
    };
    json!({
        "attention_bias": attention.qkv_bias,
        "query_pre_attn_scalar": query_scalar.map(llama_like::number),
        "attn_logit_softcapping": attention.softcap,
        "final_logit_softcapping": config.head.softcap,
        "sliding_window": llama_like::write_window(config),
        "layer_types": llama_like::write_layer_types(config),
    })
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    llama_like::write(config, DEFAULTS.activation_key, write_own(config))
}
