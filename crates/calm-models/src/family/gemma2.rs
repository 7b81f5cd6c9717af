//! Gemma 2 (arXiv 2408.00118): Gemma with norms after its parts, bounded scores and logits, and a
//! window in every other block.

use serde_json::{Map, Value, json};

use super::common::{self, Defaults};
use super::settings::Settings;
use super::{Spelling, gemma, names};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
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
    config.attention_softcap = settings.nullable("attn_logit_softcapping", Some(50.0))?;
    config.logit_softcap = settings.nullable("final_logit_softcapping", Some(30.0))?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    // The name of the first files, beside the later one.
    settings.neutral("sliding_window_size", window)?;
    common::read_layer_types(settings, &mut config, window, |block| block % 2 == 0)?;
    Ok(config)
}

/// What this version and the next have in common.
pub(super) fn read_body(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let mut config = gemma::read_body(settings, family, defaults)?;
    config.post_norms = true;
    config.query_scalar = Some(settings.value("query_pre_attn_scalar", 256.0)?);
    // The first version's key, which `transformers` does not look at here.
    settings.neutral("hidden_act", common::activation_name(config.activation))?;
    Ok(config)
}

pub(super) fn write_own(config: &DecoderConfig) -> Value {
    json!({
        "attention_bias": config.attention_bias,
        "query_pre_attn_scalar": config.query_scalar.map(common::number),
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
        "sliding_window": common::write_window(config),
        "layer_types": common::write_layer_types(config),
    })
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    common::write(config, DEFAULTS.activation_key, write_own(config))
}
