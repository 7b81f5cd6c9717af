//! Qwen 3, dense (arXiv 2505.09388): Llama with norms on queries and keys, and windows as Qwen 2.

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::settings::Settings;
use super::{FamilySpec, llama_like, names, qwen2};
use crate::config::QkNorm;
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    read,
    write,
    names: &names::LLAMA,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(32),
        d_head: Some(128),
        context_length: 32_768,
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Qwen3, &defaults)?;
    for block in &mut config.blocks {
        block.attention.qk_norm = Some(QkNorm::Heads(block.norm));
    }
    llama_like::read_attention_bias(settings, &mut config)?;
    qwen2::read_windows(settings, &mut config)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let mut own = qwen2::write_windows(config);
    own["attention_bias"] = json!(config.first_block().attention.qkv_bias);
    llama_like::write(config, "hidden_act", own)
}
