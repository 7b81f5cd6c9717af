//! GPT-2 (Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*): learnt
//! positions, layer norms, a plain feed-forward layer, biases everywhere, and matrices stored the
//! other way round.

use serde_json::{Map, Value, json};

use super::Spelling;
use super::common::{self, Special};
use super::names::Names;
use super::settings::Settings;
use crate::config::{Activation, BlockConfig, NormKind};
use crate::decoder::BlockSlot;
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPELLING: Spelling = Spelling {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    read,
    write,
    names: &Names {
        prefix: "transformer.",
        embedding: "wte",
        positions: "wpe",
        final_norm: "ln_f",
        block: "h",
        parts: &[
            ("ln_1", &[BlockSlot::AttentionNorm]),
            (
                "attn.c_attn",
                &[BlockSlot::Query, BlockSlot::Key, BlockSlot::Value],
            ),
            ("attn.c_proj", &[BlockSlot::Output]),
            ("ln_2", &[BlockSlot::FeedForwardNorm]),
            ("mlp.c_fc", &[BlockSlot::Up]),
            ("mlp.c_proj", &[BlockSlot::Down]),
        ],
        input_first: true,
        // The causal mask.
        buffers: &[".attn.bias", ".attn.masked_bias"],
    },
};

const SPECIAL: Special = Special {
    bos: Some(50_256),
    eos: Some(50_256),
    pad: None,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let (vocab_size, d_model) = (
        settings.required("vocab_size")?,
        settings.required("n_embd")?,
    );
    let heads = settings.required("n_head")?;
    let blocks = vec![BlockConfig::default(); common::block_count(settings, "n_layer")?];
    let d_ff = settings.nullable("n_inner", None)?;
    let is_scaled = settings.value("scale_attn_weights", true)?;
    settings.neutral("scale_attn_by_inverse_layer_idx", false)?;
    settings.neutral("pruned_heads", Map::new())?;
    // The same in exact arithmetic.
    settings.value("reorder_and_upcast_attn", false)?;
    let base = common::plain(Family::Gpt2, vocab_size, d_model, heads, blocks);
    Ok(DecoderConfig {
        d_head: common::head_width(settings, d_model, heads)?,
        d_ff: d_ff.unwrap_or(d_model.saturating_mul(4)),
        activation: common::activation(settings, "activation_function", "gelu_new")?,
        gated: false,
        norm: NormKind::Layer,
        norm_epsilon: settings.value("layer_norm_epsilon", 1e-5)?,
        query_scalar: (!is_scaled).then_some(1.0),
        attention_bias: true,
        output_bias: true,
        mlp_bias: true,
        learnt_positions: true,
        tied_head: settings.value("tie_word_embeddings", true)?,
        context_length: settings.value("n_positions", 1024)?,
        special: common::special_ids(settings, vocab_size, SPECIAL)?,
        ..base
    })
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let activation = match config.activation {
        Activation::GeluTanh => "gelu_new",
        other => common::activation_name(other),
    };
    common::object(json!({
        "vocab_size": config.vocab_size,
        "n_embd": config.d_model,
        "n_layer": config.block_count(),
        "n_head": config.heads,
        "n_inner": config.d_ff,
        "n_positions": config.context_length,
        "activation_function": activation,
        "layer_norm_epsilon": config.norm_epsilon,
        "scale_attn_weights": config.query_scalar.is_none(),
        "tie_word_embeddings": config.tied_head,
    }))
}
