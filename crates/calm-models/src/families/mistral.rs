//! Mistral 7B (arXiv 2310.06825): Llama, every block of which sees a window of positions.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(8),
        context_length: 4096 * 32,
        special: Special {
            bos: Some(1),
            eos: Some(2),
            pad: None,
        },
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Mistral, &defaults)?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    for block in &mut config.blocks {
        block.attention.window = window;
    }
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({ "sliding_window": llama_like::write_window(config) });
    llama_like::write(config, "hidden_act", own)
}
