//! Qwen 2 and 2.5 (arXiv 2407.10671, 2412.15115): Llama with biases on queries, keys and values,
//! and windows in some blocks.

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::settings::Settings;
use super::{FamilySpec, llama_like, names};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(32),
        context_length: 32_768,
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Qwen2, &defaults)?;
    for block in &mut config.blocks {
        block.attention.qkv_bias = true;
    }
    read_windows(settings, &mut config)?;
    Ok(config)
}

/// Windows in the blocks from `max_window_layers` on, if they are switched on at all.
pub(super) fn read_windows(
    settings: &mut Settings<'_>,
    config: &mut DecoderConfig,
) -> Result<(), ModelError> {
    let is_used = settings.value("use_sliding_window", false)?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    let first = settings.value("max_window_layers", 28)?;
    let window = window.filter(|_| is_used);
    let slides = |block| window.is_some() && block >= first;
    llama_like::read_layer_types(settings, config, window, slides)
}

pub(super) fn write_windows(config: &DecoderConfig) -> Value {
    let window = llama_like::write_window(config);
    json!({
        "use_sliding_window": !window.is_null(),
        "sliding_window": window,
        "layer_types": llama_like::write_layer_types(config),
    })
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    llama_like::write(config, "hidden_act", write_windows(config))
}
