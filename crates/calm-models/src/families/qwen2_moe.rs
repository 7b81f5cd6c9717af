//! Qwen 1.5 and 2 with experts (arXiv 2407.10671): Qwen 2, some or all blocks of which have experts, one
//! of them used by all tokens.

use serde_json::{Map, Value, json};

use super::defaults::Defaults;
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, experts, llama_like};
use crate::config::{BlockParam, GatedPart};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "qwen2_moe",
    architecture: "Qwen2MoeForCausalLM",
    read,
    write,
    names: &Names {
        parts: &[
            ("input_layernorm", &[BlockParam::AttentionNorm]),
            ("self_attn.q_proj", &[BlockParam::Query]),
            ("self_attn.k_proj", &[BlockParam::Key]),
            ("self_attn.v_proj", &[BlockParam::Value]),
            ("self_attn.o_proj", &[BlockParam::Output]),
            ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
            ("mlp.gate_proj", &[BlockParam::Gate]),
            ("mlp.up_proj", &[BlockParam::Up]),
            ("mlp.down_proj", &[BlockParam::Down]),
            (
                "mlp.shared_expert.gate_proj",
                &[BlockParam::Shared(GatedPart::Gate)],
            ),
            (
                "mlp.shared_expert.up_proj",
                &[BlockParam::Shared(GatedPart::Up)],
            ),
            (
                "mlp.shared_expert.down_proj",
                &[BlockParam::Shared(GatedPart::Down)],
            ),
            ("mlp.shared_expert_gate", &[BlockParam::SharedGate]),
        ],
        experts: &[experts::QWEN, experts::STACKED],
        ..names::LLAMA
    },
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(16),
        context_length: 32_768,
        ..Defaults::default()
    };
    let mut config = llama_like::read(settings, Family::Qwen2Moe, &defaults)?;
    let bias = settings.value("qkv_bias", true)?;
    for block in &mut config.blocks {
        block.attention.qkv_bias = bias;
    }
    let is_used = settings.value("use_sliding_window", false)?;
    let window = settings.nullable("sliding_window", Some(4096))?;
    let last = settings.value("max_window_layers", 28)?;
    let window = window.filter(|_| is_used);
    let slides = |block: usize| window.is_some() && block.is_multiple_of(2) && block < last;
    llama_like::read_layer_types(settings, &mut config, window, slides)?;
    let defaults = experts::Defaults {
        count: 60,
        used: 4,
        d_ff: 1408,
        shared: Some(5632),
    };
    experts::read(settings, &mut config, &defaults)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let window = llama_like::write_window(config);
    let mut own = experts::write(config);
    own["qkv_bias"] = json!(config.first_block().attention.qkv_bias);
    own["use_sliding_window"] = json!(!window.is_null());
    own["sliding_window"] = window;
    own["layer_types"] = llama_like::write_layer_types(config);
    llama_like::write(config, "hidden_act", own)
}
