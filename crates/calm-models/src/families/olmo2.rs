//! OLMo 2 (arXiv 2501.00656): Llama with norms after its parts instead of before them, and norms of
//! all queries and all keys together.

use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::names::{self, Names};
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{BlockParam, NormConfig, NormKind, QkNorm, ResidualConfig};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "olmo2",
    architecture: "Olmo2ForCausalLM",
    read,
    write,
    names: &Names {
        parts: &[
            ("post_attention_layernorm", &[BlockParam::AttentionPostNorm]),
            ("self_attn.q_proj", &[BlockParam::Query]),
            ("self_attn.k_proj", &[BlockParam::Key]),
            ("self_attn.v_proj", &[BlockParam::Value]),
            ("self_attn.o_proj", &[BlockParam::Output]),
            ("self_attn.q_norm", &[BlockParam::QueryNorm]),
            ("self_attn.k_norm", &[BlockParam::KeyNorm]),
            ("mlp.gate_proj", &[BlockParam::Gate]),
            ("mlp.up_proj", &[BlockParam::Up]),
            ("mlp.down_proj", &[BlockParam::Down]),
            (
                "post_feedforward_layernorm",
                &[BlockParam::FeedForwardPostNorm],
            ),
        ],
        ..names::LLAMA
    },
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let defaults = Defaults {
        norm_epsilon: 1e-5,
        special: Special {
            bos: None,
            eos: Some(50_279),
            pad: Some(1),
        },
        ..Defaults::default()
    };
    let config = llama_like::read(settings, Family::Olmo2, &defaults)?;
    let norm = NormConfig {
        kind: NormKind::UnroundedRms,
        ..config.final_norm
    };
    let mut config = llama_like::with_norms(config, norm);
    for block in &mut config.blocks {
        block.residual = ResidualConfig::PostNorm;
        block.attention.qk_norm = Some(QkNorm::Whole(norm));
    }
    llama_like::read_attention_bias(settings, &mut config)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let own = json!({ "attention_bias": config.first_block().attention.qkv_bias });
    llama_like::write(config, "hidden_act", own)
}
