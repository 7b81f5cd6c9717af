//! Settings that most families share with Llama: sizes, head, positions, special tokens.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::defaults::{Defaults, Special};
use super::rope;
use super::settings::Settings;
use crate::config::{
    Activation, BlockConfig, MAX_BLOCKS, NormConfig, NormKind, PositionEncoding, SpecialIds,
    check_size,
};
use crate::{ConfigError, DecoderConfig, Family, ModelError};

/// A decoder with a gated feed-forward layer and RMS norms, all blocks alike, no biases.
pub(super) fn read(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let vocab_size = settings.required("vocab_size")?;
    let d_model = settings.required("hidden_size")?;
    let heads = settings.required("num_attention_heads")?;
    let block_count = settings.required("num_hidden_layers")?;
    // Checked before anything is made for each.
    let block_count = checked_block_count(settings, block_count)?;
    let positions = settings.value("max_position_embeddings", defaults.context_length)?;
    let d_head = settings.nullable("head_dim", defaults.d_head)?;
    let kv_heads = settings.nullable("num_key_value_heads", defaults.kv_heads)?;
    let rope = rope::read(settings, defaults, positions)?;
    let d_head = d_head.map_or_else(|| head_width(settings, d_model, heads), Ok)?;
    let d_ff = settings.required("intermediate_size")?;
    let activation = activation(settings, defaults.activation_key, defaults.activation)?;
    let epsilon = settings.value(defaults.norm_key, defaults.norm_epsilon)?;
    let tied = settings.value("tie_word_embeddings", defaults.tied_head)?;
    let special = special_ids(settings, vocab_size, defaults.special)?;
    let mut config = DecoderConfig::llama(vocab_size, 0, block_count, heads).with_blocks(|block| {
        block.attention.kv_heads = kv_heads.unwrap_or(heads);
        block.attention.d_head = d_head;
        block.attention.encoding = PositionEncoding::Rope(rope.clone());
        block.feed_forward.d_ff = d_ff;
        block.feed_forward.activation = activation;
    });
    config.family = family;
    config.d_model = d_model;
    config.head.tied = tied;
    config.context_length = rope.stretched(positions);
    config.special = special;
    let kind = config.final_norm.kind;
    Ok(with_norms(config, NormConfig { kind, epsilon }))
}

/// The same decoder with other norms, all but those of queries and keys.
pub(super) fn with_norms(mut config: DecoderConfig, norm: NormConfig) -> DecoderConfig {
    config.final_norm = norm;
    config.with_blocks(|block| block.norm = norm)
}

/// The same decoder with layer norms.
pub(super) fn with_layer_norms(config: DecoderConfig) -> DecoderConfig {
    let norm = NormConfig {
        kind: NormKind::Layer,
        ..config.final_norm
    };
    with_norms(config, norm)
}

/// A value that must be there, under its own key or another that `transformers` takes for it.
pub(super) fn required_as<T: DeserializeOwned>(
    settings: &mut Settings<'_>,
    [key, other]: [&'static str; 2],
) -> Result<T, ModelError> {
    match settings.nullable(other, None)? {
        Some(value) => settings.value(key, value),
        None => settings.required(key),
    }
}

/// The number of blocks, if it is one that a decoder may have.
pub(super) fn checked_block_count(
    settings: &Settings<'_>,
    count: usize,
) -> Result<usize, ModelError> {
    check_size("number of blocks", count, MAX_BLOCKS).map_err(|source| settings.invalid(source))?;
    Ok(count)
}

pub(super) fn head_width(
    settings: &Settings<'_>,
    d_model: usize,
    heads: usize,
) -> Result<usize, ModelError> {
    match d_model.checked_rem(heads) {
        Some(0) => Ok(d_model / heads),
        _ => Err(settings.invalid(ConfigError::Heads { heads, d_model })),
    }
}

pub(super) fn activation(
    settings: &mut Settings<'_>,
    key: &'static str,
    default: &str,
) -> Result<Activation, ModelError> {
    let name = settings.value(key, default.to_owned())?;
    let found = ACTIVATIONS.iter().find(|(known, _)| *known == name);
    found.map(|(_, activation)| *activation).ok_or_else(|| {
        let known = ACTIVATIONS.map(|(known, _)| known).join(", ");
        settings.unsupported(key, &json!(name), format_args!("{known} are"))
    })
}

/// Whether this is one of the names of an activation.
pub(super) fn is_name_of(name: &str, activation: Activation) -> bool {
    ACTIVATIONS.contains(&(name, activation))
}

pub(super) fn activation_name(activation: Activation) -> &'static str {
    let mut known = ACTIVATIONS.iter();
    let found = known.find(|(_, known)| *known == activation);
    found.map_or_else(
        || unreachable!("{activation:?} has a name"),
        |(name, _)| *name,
    )
}

/// The names of all activations without parameters in `transformers`. Of several for one function
/// the first is written.
const ACTIVATIONS: [(&str, Activation); 22] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_new", Activation::GeluNew),
    ("gelu_python_tanh", Activation::GeluNew),
    ("gelu_accurate", Activation::GeluNew),
    ("gelu_fast", Activation::GeluFast),
    ("gelu_10", Activation::GeluClipped),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::SquaredRelu),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu),
    ("hardswish", Activation::HardSwish),
    ("mish", Activation::Mish),
    ("laplace", Activation::Laplace),
    ("sqrtsoftplus", Activation::SqrtSoftplus),
    ("sigmoid", Activation::Sigmoid),
    ("tanh", Activation::Tanh),
    ("linear", Activation::Linear),
];

/// Ids that have an embedding. Others have no use, and are a warning if the file names them.
pub(super) fn special_ids(
    settings: &mut Settings<'_>,
    vocab_size: usize,
    defaults: Special,
) -> Result<SpecialIds, ModelError> {
    let mut ids = |key, default| settings.ids(key, vocab_size, default);
    Ok(SpecialIds {
        bos: ids("bos_token_id", defaults.bos)?.first().copied(),
        eos: ids("eos_token_id", defaults.eos)?,
        pad: ids("pad_token_id", defaults.pad)?.first().copied(),
    })
}

/// `attention_bias`: whether all four projections of the attention have biases.
pub(super) fn read_attention_bias(
    settings: &mut Settings<'_>,
    config: &mut DecoderConfig,
) -> Result<(), ModelError> {
    let bias = settings.value("attention_bias", false)?;
    for block in &mut config.blocks {
        block.attention.qkv_bias = bias;
        block.attention.output_bias = bias;
    }
    Ok(())
}

/// `sliding_window` for the blocks for which `default` holds, or for those that `layer_types`
/// names.
pub(super) fn read_layer_types(
    settings: &mut Settings<'_>,
    config: &mut DecoderConfig,
    window: Option<usize>,
    default: impl Fn(usize) -> bool,
) -> Result<(), ModelError> {
    let key = "layer_types";
    let slides = match settings.nullable::<Vec<String>>(key, None)? {
        None => (0..config.block_count()).map(default).collect(),
        Some(types) => parse_layer_types(settings, key, &types)?,
    };
    let (found, expected) = (slides.len(), config.block_count());
    if found != expected {
        let name = key;
        return Err(settings.invalid(ConfigError::BlockList {
            name,
            found,
            expected,
        }));
    }
    if slides.contains(&true) && window.is_none() {
        return Err(settings.invalid(ConfigError::NoWindow));
    }
    for (block, slides) in config.blocks.iter_mut().zip(slides) {
        block.attention.window = window.filter(|_| slides);
    }
    Ok(())
}

fn parse_layer_types(
    settings: &Settings<'_>,
    key: &str,
    types: &[String],
) -> Result<Vec<bool>, ModelError> {
    let slides = types.iter().map(|kind| match kind.as_str() {
        "full_attention" | "attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => {
            let expected = "only full_attention and sliding_attention are";
            Err(settings.unsupported(key, &json!(other), expected))
        }
    });
    slides.collect()
}

pub(super) fn write_layer_types(config: &DecoderConfig) -> Value {
    let name = |block: &BlockConfig| match block.attention.window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    config.blocks.iter().map(name).collect()
}

/// The window of the blocks that have one.
pub(super) fn write_window(config: &DecoderConfig) -> Value {
    json!(
        config
            .blocks
            .iter()
            .find_map(|block| block.attention.window)
    )
}

/// The settings that [`read`] reads, in the layout of `transformers` 5, and a family's `own`.
pub(super) fn write(
    config: &DecoderConfig,
    activation_key: &str,
    own: Value,
) -> Map<String, Value> {
    let block = config.first_block();
    let mut settings = object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": block.feed_forward.d_ff,
        "num_hidden_layers": config.block_count(),
        "num_attention_heads": block.attention.heads,
        "num_key_value_heads": block.attention.kv_heads,
        "head_dim": block.attention.d_head,
        activation_key: activation_name(block.feed_forward.activation),
        "max_position_embeddings": rope::written_positions(config),
        "rms_norm_eps": config.final_norm.epsilon,
        "rope_parameters": rope::write(config),
    }));
    settings.extend(object(own));
    settings.insert("tie_word_embeddings".to_owned(), json!(config.head.tied));
    settings
}

/// The same for a family whose norms are layer norms, under a key of its own.
pub(super) fn write_with_norm_key(
    config: &DecoderConfig,
    norm_key: &str,
    own: Value,
) -> Map<String, Value> {
    let mut settings = write(config, "hidden_act", own);
    settings.remove("rms_norm_eps");
    settings.insert(norm_key.to_owned(), json!(config.final_norm.epsilon));
    settings
}

/// The map of a literal that is one.
pub(super) fn object(literal: Value) -> Map<String, Value> {
    match literal {
        Value::Object(map) => map,
        other => unreachable!("{other} is no object"),
    }
}

/// A number as files write it: whole ones without a point, which `transformers` insists on.
pub(super) fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}
