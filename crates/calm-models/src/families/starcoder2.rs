//! `StarCoder` 2 (arXiv 2402.19173): Llama with layer norms, a plain feed-forward layer, biases, and,
//! in some, a window.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{BlockParam, FeedForwardKind};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "starcoder2",
    architecture: "Starcoder2ForCausalLM",
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
            ("mlp.c_fc", &[BlockParam::Up]),
            ("mlp.c_proj", &[BlockParam::Down]),
        ],
        ..names::LLAMA
    },
};

const NORM_KEY: &str = "norm_epsilon";

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        kv_heads: Some(2),
        context_length: 4096,
        norm_key: NORM_KEY,
        norm_epsilon: 1e-5,
        activation: "gelu_pytorch_tanh",
        tied_head: true,
        special: Special {
            bos: Some(50_256),
            eos: Some(50_256),
            pad: None,
        },
        ..Defaults::default()
    };
    let config = llama_like::read(settings, Family::Starcoder2, &defaults)?;
    let bias = settings.value("use_bias", true)?;
    let window = settings.nullable("sliding_window", None)?;
    // Of the first files; `transformers` does not look at them.
    settings.neutral("norm_type", "layer_norm")?;
    settings.neutral("mlp_type", "default")?;
    let config = config.with_blocks(|block| {
        block.attention.window = window;
        block.attention.qkv_bias = bias;
        block.attention.output_bias = bias;
        block.feed_forward.kind = FeedForwardKind::Plain;
        block.feed_forward.bias = bias;
    });
    Ok(llama_like::with_layer_norms(config))
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({
        "use_bias": config.first_block().feed_forward.bias,
        "sliding_window": llama_like::write_window(config),
    });
    llama_like::write_with_norm_key(config, NORM_KEY, own)
}
