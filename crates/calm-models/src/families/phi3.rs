//! Phi 3, 3.5 and 4 (arXiv 2404.14219, 2412.08905): Llama with fused projections and, in some,
//! partly rotated heads, `LongRoPE` and a window.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, llama_like, rope};
use crate::config::{BlockParam, RopeScaling};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "phi3",
    architecture: "Phi3ForCausalLM",
    read,
    write,
    names: &Names {
        parts: &[
            ("input_layernorm", &[BlockParam::AttentionNorm]),
            (
                "self_attn.qkv_proj",
                &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
            ),
            ("self_attn.o_proj", &[BlockParam::Output]),
            ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
            ("mlp.gate_up_proj", &[BlockParam::Gate, BlockParam::Up]),
            ("mlp.down_proj", &[BlockParam::Down]),
        ],
        ..names::LLAMA
    },
};

/// Without long rotary divisors it changes nothing.
const ORIGINAL_CONTEXT: usize = 4096;

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        context_length: 4096,
        original_context: Some(ORIGINAL_CONTEXT),
        norm_epsilon: 1e-5,
        partial_rotary: Some(1.0),
        special: Special {
            bos: Some(1),
            eos: Some(32_000),
            pad: Some(32_000),
        },
        ..Defaults::default()
    };
    // The first files called their long divisors so.
    for section in ["rope_scaling", "rope_parameters"] {
        settings.rename_value(section, &["type", "rope_type"], "yarn", "longrope");
    }
    let mut config = llama_like::read(settings, Family::Phi3, &defaults)?;
    let window = settings.nullable("sliding_window", None)?;
    for block in &mut config.blocks {
        block.attention.window = window;
    }
    for key in ["full_attn_mod", "interpolate_factor"] {
        settings.neutral(key, 1)?;
    }
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let original_context = match rope::shared(config).map(|rope| &rope.scaling) {
        Some(RopeScaling::LongRope {
            original_context, ..
        }) => *original_context,
        _ => ORIGINAL_CONTEXT,
    };
    let own = json!({
        "original_max_position_embeddings": original_context,
        "sliding_window": llama_like::write_window(config),
    });
    llama_like::write(config, "hidden_act", own)
}
