//! GPT-NeoX and Pythia (arXiv 2204.06745, 2304.01373): layer norms, a plain feed-forward layer
//! beside the attention, heads that are rotated in part, biases, and queries, keys and values head by
//! head in one tensor.

use serde_json::{Map, Value, json};

use super::defaults::Special;
use super::names::{self, Fused, Names};
use super::plain::Plain;
use super::rope::{self, RopeDefaults};
use super::settings::Settings;
use super::{FamilySpec, llama_like};
use crate::config::{BlockParam, PositionEncoding, ResidualConfig, RopeConfig};
use crate::{DecoderConfig, Family, ModelError};

pub(super) const SPEC: FamilySpec = FamilySpec {
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    read,
    write,
    names: &Names {
        prefix: "gpt_neox.",
        embedding: "embed_in",
        positions: names::LLAMA.positions,
        embedding_norm: names::LLAMA.embedding_norm,
        final_norm: "final_layer_norm",
        head: &["embed_out", "lm_head"],
        block: "layers",
        parts: &[
            ("input_layernorm", &[BlockParam::AttentionNorm]),
            (
                "attention.query_key_value",
                &[BlockParam::Query, BlockParam::Key, BlockParam::Value],
            ),
            ("attention.dense", &[BlockParam::Output]),
            ("post_attention_layernorm", &[BlockParam::FeedForwardNorm]),
            ("mlp.dense_h_to_4h", &[BlockParam::Up]),
            ("mlp.dense_4h_to_h", &[BlockParam::Down]),
        ],
        parallel_parts: &[],
        experts: &[],
        fused: Fused::ByHead,
        input_first: false,
        // The causal mask, and rotary frequencies.
        buffers: &[
            ".attention.bias",
            ".attention.masked_bias",
            ".rotary_emb.inv_freq",
        ],
        ..names::LLAMA
    },
};

const SPECIAL: Special = Special {
    bos: Some(0),
    eos: Some(2),
    pad: None,
};

fn read(settings: &mut Settings<'_>) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model = settings.required("hidden_size")?;
    let heads = settings.required("num_attention_heads")?;
    let block_count = settings.required("num_hidden_layers")?;
    let positions = settings.value("max_position_embeddings", 2048)?;
    let rope = read_rope(settings, positions)?;
    let residual = match settings.value("use_parallel_residual", true)? {
        true => ResidualConfig::Parallel,
        false => ResidualConfig::PreNorm,
    };
    let plain = Plain {
        vocab_size,
        d_model,
        block_count,
        heads,
        d_ff: settings.required("intermediate_size")?,
        activation: llama_like::activation(settings, "hidden_act", "gelu")?,
        norm_epsilon: settings.value("layer_norm_eps", 1e-5)?,
        encoding: PositionEncoding::Rope(rope.clone()),
        residual,
        attention_bias: settings.value("attention_bias", true)?,
        feed_forward_bias: true,
    };
    let mut config = plain.config(settings, Family::GptNeox)?;
    config.head.tied = settings.value("tie_word_embeddings", false)?;
    config.context_length = rope.stretched(positions);
    config.special = llama_like::special_ids(settings, vocab_size, SPECIAL)?;
    Ok(config)
}

/// The family has names of its own for what others call `rope_theta` and `partial_rotary_factor`.
fn read_rope(settings: &mut Settings<'_>, context_length: usize) -> Result<RopeConfig, ModelError> {
    let theta = settings.value("rotary_emb_base", 1e4)?;
    let partial = settings.value("rotary_pct", 0.25)?;
    settings.neutral("rope_theta", theta)?;
    settings.neutral("partial_rotary_factor", partial)?;
    let defaults = RopeDefaults {
        theta,
        partial: Some(partial),
        context_length,
        original_context: None,
    };
    rope::read_with(settings, &defaults)
}

fn write(config: &DecoderConfig) -> Map<String, Value> {
    let block = config.first_block();
    llama_like::object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": block.feed_forward.d_ff,
        "num_hidden_layers": config.block_count(),
        "num_attention_heads": block.attention.heads,
        "hidden_act": llama_like::activation_name(block.feed_forward.activation),
        "max_position_embeddings": rope::written_positions(config),
        "layer_norm_eps": config.final_norm.epsilon,
        "attention_bias": block.attention.output_bias,
        "use_parallel_residual": block.residual == ResidualConfig::Parallel,
        "rope_parameters": rope::write_partial(config),
        "tie_word_embeddings": config.head.tied,
    }))
}
