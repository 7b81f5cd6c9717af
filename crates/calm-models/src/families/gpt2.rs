//! GPT-2 (Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*): learnt
//! positions, layer norms, a plain feed-forward layer, biases everywhere, and matrices stored the
//! other way round.

use serde_json::{Map, Value, json};

use super::defaults::Special;
use super::names::{self, Fused, Names};
use super::plain::Plain;
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{BlockParam, PositionEmbedding, PositionEncoding, ResidualConfig, ScoreScale};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    read,
    write,
    names: &Names {
        prefix: "transformer.",
        embedding: "wte",
        positions: "wpe",
        embedding_norm: names::LLAMA.embedding_norm,
        final_norm: "ln_f",
        head: names::LLAMA.head,
        block: "h",
        parts: &[
            ("ln_1", &[BlockParam::AttentionNorm]),
            (
                "attn.c_attn",
                &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
            ),
            ("attn.c_proj", &[BlockParam::Output]),
            ("ln_2", &[BlockParam::FeedForwardNorm]),
            ("mlp.c_fc", &[BlockParam::Up]),
            ("mlp.c_proj", &[BlockParam::Down]),
        ],
        parallel_parts: &[],
        experts: &[],
        fused: Fused::ByPart,
        input_first: true,
        // The causal mask.
        buffers: &[".attn.bias", ".attn.masked_bias"],
        ..names::LLAMA
    },
};

const SPECIAL: Special = Special {
    bos: Some(50_256),
    eos: Some(50_256),
    pad: None,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model: usize = llama_like::required_as(settings, ["n_embd", "hidden_size"])?;
    let heads = llama_like::required_as(settings, ["n_head", "num_attention_heads"])?;
    let block_count = llama_like::required_as(settings, ["n_layer", "num_hidden_layers"])?;
    let d_ff = settings.nullable("n_inner", None)?;
    let d_ff = d_ff.unwrap_or(d_model.saturating_mul(4));
    let is_scaled = settings.value("scale_attn_weights", true)?;
    settings.neutral("scale_attn_by_inverse_layer_idx", false)?;
    settings.neutral("pruned_heads", Map::new())?;
    let plain = Plain {
        vocab_size,
        d_model,
        block_count,
        heads,
        d_ff,
        activation: llama_like::activation(settings, "activation_function", "gelu_new")?,
        norm_epsilon: settings.value("layer_norm_epsilon", 1e-5)?,
        encoding: PositionEncoding::None,
        residual: ResidualConfig::PreNorm,
        attention_bias: true,
        feed_forward_bias: true,
    };
    let config = plain.config(settings, Family::Gpt2)?;
    let mut config = config.with_blocks(|block| {
        block.attention.scale = match is_scaled {
            true => ScoreScale::HeadWidth,
            false => ScoreScale::Factor(1.0),
        };
    });
    config.embedding.positions = PositionEmbedding::Learnt;
    config.head.tied = settings.value("tie_word_embeddings", true)?;
    let positions = settings.value("max_position_embeddings", 1024)?;
    config.context_length = settings.value("n_positions", positions)?;
    config.special = llama_like::special_ids(settings, vocab_size, SPECIAL)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    llama_like::object(json!({
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_layer": config.block_count(),
        "n_head": block.attention.heads,
        "n_inner": block.feed_forward.d_ff,
        "n_positions": config.context_length,
        "activation_function": llama_like::activation_name(block.feed_forward.activation),
        "layer_norm_epsilon": config.final_norm.epsilon,
        "scale_attn_weights": block.attention.scale == ScoreScale::HeadWidth,
        "tie_word_embeddings": config.head.tied,
    }))
}
