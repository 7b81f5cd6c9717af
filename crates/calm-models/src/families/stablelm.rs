//! `StableLM` (arXiv 2402.17834): Llama with layer norms and heads that are rotated in part; in some,
//! with biases on queries, keys and values, norms of every head, or the feed-forward layer beside the
//! attention.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, llama_like, rope};
use crate::config::{BlockParam, QkNorm, ResidualConfig};
use crate::{ConfigError, DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "stablelm",
    architecture: "StableLmForCausalLM",
    read,
    write,
    names: &Names {
        parts: &[
            ("input_layernorm", &[BlockParam::AttentionNorm]),
            ("self_attn.q_proj", &[BlockParam::Query]),
            ("self_attn.k_proj", &[BlockParam::Key]),
            ("self_attn.v_proj", &[BlockParam::Value]),
            ("self_attn.o_proj", &[BlockParam::Output]),
            (
                "self_attn.q_layernorm.norms.{head}",
                &[BlockParam::QueryNorm],
            ),
            ("self_attn.k_layernorm.norms.{head}", &[BlockParam::KeyNorm]),
            ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
            ("mlp.gate_proj", &[BlockParam::Gate]),
            ("mlp.up_proj", &[BlockParam::Up]),
            ("mlp.down_proj", &[BlockParam::Down]),
        ],
        ..names::LLAMA
    },
};

const NORM_KEY: &str = "layer_norm_eps";

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(32),
        context_length: 4096,
        norm_key: NORM_KEY,
        norm_epsilon: 1e-5,
        partial_rotary: Some(0.25),
        special: Special {
            bos: Some(0),
            eos: Some(0),
            pad: None,
        },
        ..Defaults::default()
    };
    let config = llama_like::read(settings, Family::StableLm, &defaults)?;
    let bias = settings.value("use_qkv_bias", false)?;
    let residual = match settings.value("use_parallel_residual", false)? {
        true => ResidualConfig::ParallelSharedNorm,
        false => ResidualConfig::PreNorm,
    };
    let attention = &config.first_block().attention;
    let d_rotary = attention
        .rope()
        .map_or(0, |rope| rope.d_rotary(attention.d_head));
    if !d_rotary.is_multiple_of(2) {
        return Err(settings.invalid(ConfigError::OddHeadWidth { d_head: d_rotary }));
    }
    let epsilon = config.final_norm.epsilon;
    let has_norms = settings.value("qk_layernorm", false)?;
    let config = config.with_blocks(|block| {
        block.attention.qkv_bias = bias;
        block.attention.qk_norm = has_norms.then_some(QkNorm::LayerOfEachHead { epsilon });
        block.residual = residual;
    });
    Ok(llama_like::with_layer_norms(config))
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let own = json!({
        "use_qkv_bias": block.attention.qkv_bias,
        "qk_layernorm": block.attention.qk_norm.is_some(),
        "use_parallel_residual": block.residual == ResidualConfig::ParallelSharedNorm,
        "rope_parameters": rope::write_partial(config),
    });
    llama_like::write_with_norm_key(config, NORM_KEY, own)
}
