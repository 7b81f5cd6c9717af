//! XGLM (arXiv 2112.10668): sinusoidal positions, scaled embeddings, layer norms, a plain
//! feed-forward layer, and biases everywhere.

use serde_json::{Map, Value, json};

use super::defaults::Special;
use super::names::{self, Names};
use super::plain::Plain;
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{
    BlockParam, EmbeddingScale, PositionEmbedding, PositionEncoding, ResidualConfig,
};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "xglm",
    architecture: "XGLMForCausalLM",
    read,
    write,
    names: &Names {
        final_norm: "layer_norm",
        parts: &[
            ("self_attn_layer_norm", &[BlockParam::AttentionNorm]),
            ("self_attn.q_proj", &[BlockParam::Query]),
            ("self_attn.k_proj", &[BlockParam::Key]),
            ("self_attn.v_proj", &[BlockParam::Value]),
            ("self_attn.out_proj", &[BlockParam::Output]),
            ("final_layer_norm", &[BlockParam::FeedForwardNorm]),
            ("fc1", &[BlockParam::Up]),
            ("fc2", &[BlockParam::Down]),
        ],
        // The table of the positions.
        buffers: &["embed_positions.weights"],
        ..names::LLAMA
    },
};

const SPECIAL: Special = Special {
    bos: Some(0),
    eos: Some(2),
    pad: Some(1),
};

/// `transformers` has no setting for it.
const NORM_EPSILON: f64 = 1e-5;

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model: usize = llama_like::required_as(settings, ["d_model", "hidden_size"])?;
    let heads = llama_like::required_as(settings, ["attention_heads", "num_attention_heads"])?;
    let block_count = llama_like::required_as(settings, ["num_layers", "num_hidden_layers"])?;
    let is_scaled = settings.value("scale_embedding", true)?;
    let plain = Plain {
        vocab_size,
        d_model,
        block_count,
        heads,
        d_ff: settings.required("ffn_dim")?,
        activation: llama_like::activation(settings, "activation_function", "gelu")?,
        norm_epsilon: NORM_EPSILON,
        encoding: PositionEncoding::None,
        residual: ResidualConfig::PreNorm,
        attention_bias: true,
        feed_forward_bias: true,
    };
    let mut config = plain.config(settings, Family::Xglm)?;
    let scale = EmbeddingScale::Exact((d_model as f64).sqrt());
    config.embedding.scale = is_scaled.then_some(scale);
    config.head.tied = settings.value("tie_word_embeddings", true)?;
    config.context_length = settings.value("max_position_embeddings", 2048)?;
    config.special = llama_like::special_ids(settings, vocab_size, SPECIAL)?;
    config.embedding.positions = PositionEmbedding::Sinusoidal {
        zeroed: config.special.pad,
    };
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    llama_like::object(json!({
        "vocab_size": config.vocab_size,
        "d_model": config.d_model,
        "num_layers": config.block_count(),
        "attention_heads": block.attention.heads,
        "ffn_dim": block.feed_forward.d_ff,
        "activation_function": llama_like::activation_name(block.feed_forward.activation),
        "max_position_embeddings": config.context_length,
        "scale_embedding": config.embedding.scale.is_some(),
        "tie_word_embeddings": config.head.tied,
    }))
}
