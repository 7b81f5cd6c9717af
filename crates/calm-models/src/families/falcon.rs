//! Falcon (arXiv 2311.16867): a plain feed-forward layer beside the attention or behind it, rotary
//! encoding or ALiBi, one key-value head or groups of them, layer norms, and queries, keys and values
//! key-value head by key-value head in one tensor.

use serde_json::{Map, Value, json};

use super::bloom;
use super::defaults::{Defaults, Special};
use super::names::Names;
use super::plain::Plain;
use super::settings::Settings;
use super::{FamilySpec, llama_like, rope};
use crate::config::{AlibiKind, BlockParam, PositionEncoding, ResidualConfig};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "falcon",
    architecture: "FalconForCausalLM",
    read,
    write,
    names: &Names {
        parallel_parts: &[
            ("ln_attn", &[BlockParam::AttentionNorm]),
            ("ln_mlp", &[BlockParam::FeedForwardNorm]),
        ],
        ..bloom::NAMES
    },
};

const SPECIAL: Special = Special {
    bos: Some(11),
    eos: Some(11),
    pad: None,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model: usize = llama_like::required_as(settings, ["n_embed", "hidden_size"])?;
    let heads = settings.required("num_attention_heads")?;
    let block_count = settings.required("num_hidden_layers")?;
    let positions = settings.value("max_position_embeddings", 2048)?;
    let rope = rope::read(settings, &Defaults::default(), positions)?;
    let context_length = rope.stretched(positions);
    let encoding = match settings.nullable("alibi", None)?.unwrap_or(false) {
        true => PositionEncoding::Alibi(AlibiKind::BeforeScale),
        false => PositionEncoding::Rope(rope),
    };
    let d_ff = settings.nullable("ffn_hidden_size", None)?;
    let epsilon = settings.nullable("layer_norm_epsilon", None)?;
    let bias = settings.nullable("bias", None)?.unwrap_or(false);
    let (kv_heads, residual) = read_layout(settings, heads)?;
    let plain = Plain {
        vocab_size,
        d_model,
        block_count,
        heads,
        d_ff: d_ff.unwrap_or(d_model.saturating_mul(4)),
        activation: llama_like::activation(settings, "activation", "gelu")?,
        norm_epsilon: epsilon.unwrap_or(1e-5),
        encoding,
        residual,
        attention_bias: bias,
        feed_forward_bias: bias,
    };
    let config = plain.config(settings, Family::Falcon)?;
    let mut config = config.with_blocks(|block| block.attention.kv_heads = kv_heads);
    config.head.tied = settings.value("tie_word_embeddings", true)?;
    config.context_length = context_length;
    config.special = llama_like::special_ids(settings, vocab_size, SPECIAL)?;
    Ok(config)
}

/// Key-value heads and placement of the norms, which several keys settle together. Those that the
/// others overrule are not looked at.
fn read_layout(
    settings: &mut Settings<'_>,
    heads: usize,
) -> Result<(usize, ResidualConfig), ModelError> {
    let is_new = settings
        .nullable("new_decoder_architecture", None)?
        .unwrap_or(false);
    let multi_query = settings.nullable("multi_query", None)?.unwrap_or(true);
    let kv_heads = settings.nullable("num_kv_heads", None)?.unwrap_or(heads);
    let is_parallel = settings.nullable("parallel_attn", None)?.unwrap_or(true);
    let key = "num_ln_in_parallel_attn";
    let norms = settings.nullable(key, None)?;
    let residual = match (is_new, is_parallel, norms) {
        (true, true, None | Some(2)) => ResidualConfig::Parallel,
        (true, true, Some(1)) => ResidualConfig::ParallelSharedNorm,
        (true, true, _) => {
            return Err(settings.unsupported(key, &json!(norms), "only 1 and 2 are"));
        }
        (true, false, _) => {
            let expected = "with new_decoder_architecture only true is";
            return Err(settings.unsupported("parallel_attn", &json!(false), expected));
        }
        (false, true, Some(2)) => {
            let expected = "without new_decoder_architecture only 1 is";
            return Err(settings.unsupported(key, &json!(norms), expected));
        }
        (false, true, _) => ResidualConfig::ParallelSharedNorm,
        (false, false, _) => ResidualConfig::PreNorm,
    };
    match (is_new, multi_query) {
        (false, true) => Ok((1, residual)),
        (false, false) if kv_heads != heads => {
            let expected = format_args!("without multi_query only {heads} is, as many as heads");
            Err(settings.unsupported("num_kv_heads", &json!(kv_heads), expected))
        }
        _ => Ok((kv_heads, residual)),
    }
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    let (heads, kv_heads) = (block.attention.heads, block.attention.kv_heads);
    let has_two_norms = block.residual == ResidualConfig::Parallel;
    let is_sequential = block.residual == ResidualConfig::PreNorm;
    let is_grouped = kv_heads != 1 && kv_heads != heads;
    let is_new = has_two_norms || is_grouped;
    let mut settings = llama_like::object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.block_count(),
        "num_attention_heads": heads,
        "num_kv_heads": kv_heads,
        "ffn_hidden_size": block.feed_forward.d_ff,
        "activation": llama_like::activation_name(block.feed_forward.activation),
        "max_position_embeddings": rope::written_positions(config),
        "layer_norm_epsilon": config.final_norm.epsilon,
        "new_decoder_architecture": is_new,
        "multi_query": kv_heads == 1,
        "parallel_attn": !is_sequential,
        "num_ln_in_parallel_attn": if has_two_norms { 2 } else { 1 },
        "alibi": block.attention.alibi().is_some(),
        "bias": block.feed_forward.bias,
        "tie_word_embeddings": config.head.tied,
    }));
    if block.attention.rope().is_some() {
        settings.insert("rope_parameters".to_owned(), rope::write(config));
    }
    settings
}
