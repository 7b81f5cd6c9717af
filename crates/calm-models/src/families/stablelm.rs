//! `StableLM` (arXiv 2402.17834): Llama with layer norms and heads that are rotated in part; in some,
//! with biases on queries, keys and values, or the feed-forward layer beside the attention.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::settings::Settings;
use super::{FamilySpec, llama_like, names, rope};
use crate::config::ResidualConfig;
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "stablelm",
    architecture: "StableLmForCausalLM",
    read,
    write,
    names: &names::LLAMA,
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
    settings.neutral("qk_layernorm", false)?;
    let config = config.with_blocks(|block| {
        block.attention.qkv_bias = bias;
        block.residual = residual;
    });
    Ok(llama_like::with_layer_norms(config))
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let own = json!({
        "use_qkv_bias": block.attention.qkv_bias,
        "use_parallel_residual": block.residual == ResidualConfig::ParallelSharedNorm,
        "rope_parameters": rope::write_partial(config),
    });
    llama_like::write_with_norm_key(config, NORM_KEY, own)
}
