//! Qwen 3, dense (arXiv 2505.09388): Llama with norms on queries and keys, and windows as Qwen 2.

use serde_json::{Map, Value, json};

use super::common::{self, Defaults};
use super::settings::Settings;
use super::{Spelling, names, qwen2};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
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
    let mut config = common::read(settings, Family::Qwen3, &defaults)?;
    config.qk_norms = true;
    common::read_attention_bias(settings, &mut config)?;
    qwen2::read_windows(settings, &mut config)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let mut own = qwen2::write_windows(config);
    own["attention_bias"] = json!(config.attention_bias);
    common::write(config, "hidden_act", own)
}
