//! BLOOM (arXiv 2211.05100): ALiBi instead of positions, normed embeddings, layer norms, a plain
//! feed-forward layer, biases everywhere, and queries, keys and values head by head in one tensor.

use serde_json::{Map, Value, json};

use super::defaults::Special;
use super::names::{self, Fused, Names};
use super::plain::Plain;
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{Activation, AlibiKind, BlockParam, PositionEncoding, ResidualConfig};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "bloom",
    architecture: "BloomForCausalLM",
    read,
    write,
    names: &NAMES,
};

/// Falcon has most of them, too.
pub(super) const NAMES: Names = Names {
    prefix: "transformer.",
    embedding: "word_embeddings",
    positions: names::LLAMA.positions,
    embedding_norm: "word_embeddings_layernorm",
    final_norm: "ln_f",
    head: names::LLAMA.head,
    block: "h",
    parts: &[
        (
            "self_attention.query_key_value",
            &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
        ),
        ("self_attention.dense", &[BlockParam::Output]),
        ("input_layernorm", &[BlockParam::AttentionNorm]),
        ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
        ("mlp.dense_h_to_4h", &[BlockParam::Up]),
        ("mlp.dense_4h_to_h", &[BlockParam::Down]),
    ],
    parallel_parts: &[],
    experts: &[],
    fused: Fused::ByHead,
    input_first: false,
    // Rotary frequencies, and the causal mask.
    buffers: &[
        ".inv_freq",
        ".self_attention.bias",
        ".self_attention.masked_bias",
    ],
    ..names::LLAMA
};

const SPECIAL: Special = Special {
    bos: Some(1),
    eos: Some(2),
    pad: None,
};

/// The file does not say how long texts were in training: this long.
const CONTEXT_LENGTH: usize = 2048;

/// Settings of the training program, which the first files have, and `transformers` does not look at.
const OF_TRAINING: [&str; 9] = [
    "attention_softmax_in_fp32",
    "bias_dropout_fusion",
    "masked_softmax_fusion",
    "offset_alibi",
    "pretraining_tp",
    "skip_bias_add",
    "skip_bias_add_qkv",
    "slow_but_exact",
    "unk_token_id",
];

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model: usize = llama_like::required_as(settings, ["n_embed", "hidden_size"])?;
    let heads = llama_like::required_as(settings, ["n_head", "num_attention_heads"])?;
    let block_count = llama_like::required_as(settings, ["n_layer", "num_hidden_layers"])?;
    let d_ff = d_model.saturating_mul(4);
    settings.neutral("n_inner", d_ff)?;
    for key in OF_TRAINING {
        settings.nullable::<Value>(key, None)?;
    }
    let residual = match settings.value("apply_residual_connection_post_layernorm", false)? {
        true => ResidualConfig::NormedSkip,
        false => ResidualConfig::PreNorm,
    };
    let plain = Plain {
        vocab_size,
        d_model,
        block_count,
        heads,
        d_ff,
        activation: Activation::GeluFast,
        norm_epsilon: settings.value("layer_norm_epsilon", 1e-5)?,
        encoding: PositionEncoding::Alibi(AlibiKind::AfterScale),
        residual,
        attention_bias: true,
        feed_forward_bias: true,
    };
    let mut config = plain.config(settings, Family::Bloom)?;
    config.embedding.norm = Some(config.final_norm);
    config.head.tied = settings.value("tie_word_embeddings", true)?;
    config.context_length = settings.value("seq_length", CONTEXT_LENGTH)?;
    config.special = llama_like::special_ids(settings, vocab_size, SPECIAL)?;
    Ok(config)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    llama_like::object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "n_layer": config.block_count(),
        "n_head": block.attention.heads,
        "layer_norm_epsilon": config.final_norm.epsilon,
        "apply_residual_connection_post_layernorm": block.residual == ResidualConfig::NormedSkip,
        "seq_length": config.context_length,
        "tie_word_embeddings": config.head.tied,
    }))
}
