//! Qwen 3 with experts (arXiv 2505.09388): Qwen 3, some or all blocks of which have experts.

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, experts, llama_like};
use crate::config::QkNorm;
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "qwen3_moe",
    architecture: "Qwen3MoeForCausalLM",
    read,
    write,
    names: &Names {
        experts: &[experts::QWEN, experts::STACKED],
        ..names::LLAMA
    },
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(4),
        context_length: 32_768,
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Qwen3Moe, &defaults)?;
    llama_like::read_attention_bias(settings, &mut config)?;
    let is_used = settings.value("use_sliding_window", false)?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    // Left over from Qwen 2; `transformers` does not look at it.
    settings.nullable::<Value>("max_window_layers", None)?;
    for block in &mut config.blocks {
        block.attention.window = window.filter(|_| is_used);
        block.attention.qk_norm = Some(QkNorm::Heads(block.norm));
    }
    settings.neutral("layer_types", llama_like::write_layer_types(&config))?;
    let defaults = experts::Defaults {
        count: 128,
        used: 8,
        d_ff: 768,
        shared: None,
    };
    experts::read(settings, &mut config, &defaults)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let window = llama_like::write_window(config);
    let mut own = experts::write(config);
    own["attention_bias"] = json!(config.first_block().attention.qkv_bias);
    own["use_sliding_window"] = json!(!window.is_null());
    own["sliding_window"] = window;
    llama_like::write(config, "hidden_act", own)
}
