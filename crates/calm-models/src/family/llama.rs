//! Llama 1 to 3 (arXiv 2302.13971, 2307.09288, 2407.21783), and models of the same shape.

use serde_json::{Map, Value, json};

use super::common::{self, Defaults, Special};
use super::settings::Settings;
use super::{Spelling, names};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        special: Special {
            bos: Some(1),
            eos: Some(2),
            pad: None,
        },
        ..Defaults::default()
    };
    let mut config = common::read(settings, Family::Llama, &defaults)?;
    common::read_attention_bias(settings, &mut config)?;
    config.mlp_bias = settings.value("mlp_bias", false)?;
    // Splits matrix products for bit-exact reproduction; 1 is the plain product.
    settings.neutral("pretraining_tp", 1)?;
    // Granite's.
    for key in [
        "attention_multiplier",
        "embedding_multiplier",
        "logits_scaling",
        "residual_multiplier",
    ] {
        settings.neutral(key, 1.0)?;
    }
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({ "attention_bias": config.attention_bias, "mlp_bias": config.mlp_bias });
    common::write(config, "hidden_act", own)
}
