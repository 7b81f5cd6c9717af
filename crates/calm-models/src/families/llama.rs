//! Llama 1 to 3 (arXiv 2302.13971, 2307.09288, 2407.21783), and models of the same shape.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
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
    let mut config = llama_like::read(settings, Family::Llama, &defaults)?;
    llama_like::read_attention_bias(settings, &mut config)?;
    let bias = settings.value("mlp_bias", false)?;
    for block in &mut config.blocks {
        block.feed_forward.bias = bias;
    }
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let own = json!({
        "attention_bias": block.attention.qkv_bias,
        "mlp_bias": block.feed_forward.bias,
    });
    llama_like::write(config, "hidden_act", own)
}
