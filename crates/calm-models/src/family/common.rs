//! What most families spell like Llama: sizes, head, positions, special tokens.

use serde_json::{Map, Value, json};

use super::rope;
use super::settings::Settings;
use crate::config::{
    Activation, BlockConfig, MAX_BLOCKS, OneOrMany, RopeConfig, SpecialIds, check_size,
};
use crate::{ConfigError, DecoderConfig, Family, ModelError};

/// What a family takes for granted where its file says nothing.
pub(super) struct Defaults {
    /// None: as many as heads.
    pub(super) kv_heads: Option<usize>,
    /// None: the hidden size divided among the heads.
    pub(super) d_head: Option<usize>,
    pub(super) context_length: usize,
    /// The context of the pre-training, where the family has a default for it.
    pub(super) original_context: Option<usize>,
    pub(super) norm_epsilon: f64,
    pub(super) activation_key: &'static str,
    pub(super) activation: &'static str,
    pub(super) tied_head: bool,
    /// Whether a file may ask for heads that are turned in part.
    pub(super) partial_rotary: bool,
    pub(super) special: Special,
}

/// Ids of the beginning, the end and the padding.
#[derive(Clone, Copy, Default)]
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) pad: Option<u32>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            kv_heads: None,
            d_head: None,
            context_length: 2048,
            original_context: None,
            norm_epsilon: 1e-6,
            activation_key: "hidden_act",
            activation: "silu",
            tied_head: false,
            partial_rotary: false,
            special: Special::default(),
        }
    }
}

/// A decoder with a gated feed-forward layer and RMS norms, all blocks alike, no biases.
pub(super) fn read(
    settings: &mut Settings<'_>,
    family: Family,
    defaults: &Defaults,
) -> Result<DecoderConfig, ModelError> {
    let (vocab_size, d_model) = (
        settings.required("vocab_size")?,
        settings.required("hidden_size")?,
    );
    let heads = settings.required("num_attention_heads")?;
    let block_count = block_count(settings, "num_hidden_layers")?;
    let positions = settings.value("max_position_embeddings", defaults.context_length)?;
    let d_head = settings.nullable("head_dim", defaults.d_head)?;
    let kv_heads = settings.nullable("num_key_value_heads", defaults.kv_heads)?;
    let rope = rope::read(settings, defaults, positions)?;
    Ok(DecoderConfig {
        kv_heads: kv_heads.unwrap_or(heads),
        d_head: d_head.map_or_else(|| head_width(settings, d_model, heads), Ok)?,
        d_ff: settings.required("intermediate_size")?,
        activation: activation(settings, defaults.activation_key, defaults.activation)?,
        norm_epsilon: settings.value("rms_norm_eps", defaults.norm_epsilon)?,
        tied_head: settings.value("tie_word_embeddings", defaults.tied_head)?,
        context_length: rope.stretched(positions),
        special: special_ids(settings, vocab_size, defaults.special)?,
        ..plain(
            family,
            vocab_size,
            d_model,
            heads,
            vec![with_rope(rope); block_count],
        )
    })
}

/// A decoder with nothing special about it, most of whose sizes are still to be set.
pub(super) fn plain(
    family: Family,
    vocab_size: usize,
    d_model: usize,
    heads: usize,
    blocks: Vec<BlockConfig>,
) -> DecoderConfig {
    DecoderConfig {
        family,
        d_model,
        blocks,
        ..DecoderConfig::llama(vocab_size, 0, 0, heads)
    }
}

fn with_rope(rope: RopeConfig) -> BlockConfig {
    BlockConfig {
        rope: Some(rope),
        window: None,
    }
}

/// The number of blocks, checked before anything is made for each.
pub(super) fn block_count(
    settings: &mut Settings<'_>,
    key: &'static str,
) -> Result<usize, ModelError> {
    let count = settings.required(key)?;
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
    match name.as_str() {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        _ => {
            let expected = "only silu, gelu, gelu_new and gelu_pytorch_tanh are";
            Err(settings.unsupported(key, &json!(name), expected))
        }
    }
}

pub(super) fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
    }
}

/// Ids in the file must have an embedding; a default that has none is no default.
pub(super) fn special_ids(
    settings: &mut Settings<'_>,
    vocab_size: usize,
    defaults: Special,
) -> Result<SpecialIds, ModelError> {
    let in_vocabulary = |id: Option<u32>| id.filter(|id| (*id as usize) < vocab_size);
    let eos = settings.nullable(
        "eos_token_id",
        in_vocabulary(defaults.eos).map(OneOrMany::One),
    )?;
    Ok(SpecialIds {
        bos: settings.nullable("bos_token_id", in_vocabulary(defaults.bos))?,
        eos: eos.map_or_else(Vec::new, Vec::from),
        pad: settings.nullable("pad_token_id", in_vocabulary(defaults.pad))?,
    })
}

/// `attention_bias`: whether all four projections of the attention have biases.
pub(super) fn read_attention_bias(
    settings: &mut Settings<'_>,
    config: &mut DecoderConfig,
) -> Result<(), ModelError> {
    config.attention_bias = settings.value("attention_bias", false)?;
    config.output_bias = config.attention_bias;
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
        block.window = window.filter(|_| slides);
    }
    Ok(())
}

fn parse_layer_types(
    settings: &Settings<'_>,
    key: &str,
    types: &[String],
) -> Result<Vec<bool>, ModelError> {
    let slides = types.iter().map(|kind| match kind.as_str() {
        "full_attention" => Ok(false),
        "sliding_attention" => Ok(true),
        other => {
            let expected = "only full_attention and sliding_attention are";
            Err(settings.unsupported(key, &json!(other), expected))
        }
    });
    slides.collect()
}

pub(super) fn write_layer_types(config: &DecoderConfig) -> Value {
    let name = |block: &BlockConfig| match block.window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    config.blocks.iter().map(name).collect()
}

/// The window of the blocks that have one.
pub(super) fn write_window(config: &DecoderConfig) -> Value {
    json!(config.blocks.iter().find_map(|block| block.window))
}

/// What [`read`] reads, in the layout of `transformers` 5, and a family's `own` settings.
pub(super) fn write(
    config: &DecoderConfig,
    activation_key: &str,
    own: Value,
) -> Map<String, Value> {
    let mut settings = object(json!({
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.block_count(),
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.d_head,
        activation_key: activation_name(config.activation),
        "max_position_embeddings": rope::written_positions(config),
        "rms_norm_eps": config.norm_epsilon,
        "rope_parameters": rope::write(config),
    }));
    settings.extend(object(own));
    settings.insert("tie_word_embeddings".to_owned(), json!(config.tied_head));
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
