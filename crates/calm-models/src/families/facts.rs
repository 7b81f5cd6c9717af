//! Keys that a family does not ask for, and that say what is so of its decoder anyway: names of
//! other families for a size, or a switch that agrees with the weights.

use serde_json::{Value, json};

use super::keys::is_same;
use super::llama_like;
use super::rope;
use crate::DecoderConfig;
use crate::config::{NormKind, PositionEncoding};

/// Whether a value under this key is a fact about the decoder.
pub(super) fn is_so(key: &str, value: &Value, config: &DecoderConfig) -> bool {
    let block = config.first_block();
    let (attention, feed_forward) = (&block.attention, &block.feed_forward);
    let is = |fact: Value| is_same(value, &fact);
    match key {
        "hidden_size" | "n_embd" | "d_model" | "dim" => is(json!(config.d_model)),
        "num_hidden_layers" | "num_layers" | "n_layers" | "n_layer" => {
            is(json!(config.block_count()))
        }
        "num_attention_heads" | "num_heads" | "n_heads" | "n_head" => is(json!(attention.heads)),
        "num_key_value_heads" | "num_kv_heads" | "n_kv_heads" | "n_head_kv" => {
            is(json!(attention.kv_heads))
        }
        "head_dim" | "d_head" | "attention_head_dim" => is(json!(attention.d_head)),
        "intermediate_size" | "ffn_hidden_size" | "ffn_dim" | "n_inner" | "d_ff" => {
            is(json!(feed_forward.d_ff))
        }
        "max_position_embeddings" | "n_positions" | "max_seq_len" | "seq_length" => {
            is(json!(rope::written_positions(config)))
        }
        "rms_norm_eps" | "layer_norm_eps" | "layer_norm_epsilon" | "norm_eps" | "norm_epsilon" => {
            is(json!(config.final_norm.epsilon))
        }
        "hidden_act" | "hidden_activation" | "activation_function" => value
            .as_str()
            .is_some_and(|name| llama_like::is_name_of(name, feed_forward.activation)),
        "attention_bias" | "qkv_bias" | "use_qkv_bias" => is(json!(attention.qkv_bias)),
        "attention_out_bias" => is(json!(attention.output_bias)),
        "mlp_bias" => is(json!(feed_forward.bias)),
        "use_bias" => [attention.qkv_bias, attention.output_bias, feed_forward.bias]
            .iter()
            .all(|bias| is(json!(bias))),
        "use_qk_norm" | "qk_norm" | "qk_layernorm" => is(json!(attention.qk_norm.is_some())),
        "use_rms_norm" => is(json!(config.final_norm.kind != NormKind::Layer)),
        "use_rope" | "use_rotary_embedding" | "use_rotary_embeddings" | "rotary" => {
            is(json!(attention.rope().is_some()))
        }
        "alibi" => is(json!(matches!(
            attention.encoding,
            PositionEncoding::Alibi(_)
        ))),
        "rope_theta" | "rotary_emb_base" => is(json!(rope::shared(config).map(|rope| rope.theta))),
        "partial_rotary_factor" | "rotary_pct" => {
            is(json!(rope::shared(config).map(|rope| rope.partial)))
        }
        "attn_logit_softcapping" => is(json!(attention.softcap)),
        "final_logit_softcapping" => is(json!(config.head.softcap)),
        "tie_word_embeddings" => is(json!(config.head.tied)),
        "layer_types" => is(llama_like::write_layer_types(config)),
        "sliding_window" | "sliding_window_size" | "window_size" => is_window(value, config),
        _ => false,
    }
}

/// Whether every block has this window. One that is as long as the context is none.
fn is_window(value: &Value, config: &DecoderConfig) -> bool {
    let context = config.context_length;
    let window = value
        .as_u64()
        .and_then(|window| usize::try_from(window).ok());
    let window = window.filter(|window| *window < context);
    let is_number = value.is_u64();
    let blocks = config.blocks.iter();
    let mut windows = blocks.map(|block| block.attention.window.filter(|window| *window < context));
    is_number && windows.all(|found| found == window)
}
