//! A decoder's description with every question settled.

mod error;
mod rope;

use calm_backend::FloatType;
use serde::Deserialize;
use serde_json::{Value, json};

pub use self::error::ConfigError;
pub use self::rope::{RopeConfig, RopeScaling};
use crate::Family;

/// What a decoder is, whichever family it comes from: nothing in it depends on how a checkpoint's
/// `config.json` spells it, and no default is left open.
///
/// [`Family::read`] makes one from a `config.json`; a model of one's own starts from
/// [`DecoderConfig::llama`].
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The family, which names tensors and settings in files.
    pub family: Family,
    /// Token ids go from 0 to `vocab_size - 1`.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// What sets the blocks apart, in order.
    pub blocks: Vec<BlockConfig>,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width inside the feed-forward layer.
    pub d_ff: usize,
    /// The feed-forward layer's nonlinearity.
    pub activation: Activation,
    /// Whether a second projection of the feed-forward layer passes through it and gates the first.
    pub gated: bool,
    /// What every norm computes.
    pub norm: NormKind,
    /// Added to the mean square, or to the variance, in every norm.
    pub norm_epsilon: f64,
    /// Whether the outputs of attention and feed-forward layer pass a norm of their own before
    /// they are added.
    pub post_norms: bool,
    /// Whether queries and keys pass a norm, head by head, before they are turned.
    pub qk_norms: bool,
    /// Scores are divided by the square root of this; none: of `d_head`.
    pub query_scalar: Option<f64>,
    /// Bound of the attention's scores, see [`calm_backend::ops::softcap`].
    pub attention_softcap: Option<f64>,
    /// Bound of the logits.
    pub logit_softcap: Option<f64>,
    /// Whether the projections to queries, keys and values have biases.
    pub attention_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub output_bias: bool,
    /// Whether the feed-forward layer's projections have biases.
    pub mlp_bias: bool,
    /// Embeddings are multiplied by this, rounded to the type computed in.
    pub embedding_scale: Option<f64>,
    /// Whether a learnt embedding of the position is added to that of the token.
    pub learnt_positions: bool,
    /// Whether the head is the embedding, transposed.
    pub tied_head: bool,
    /// The longest sequence that the model was made for.
    pub context_length: usize,
    /// Ids with a meaning of their own.
    pub special: SpecialIds,
}

/// What one block's attention knows of positions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlockConfig {
    /// Rotary encoding of queries and keys; none where the attention knows no positions.
    pub rope: Option<RopeConfig>,
    /// A position sees so many positions, its own included; none: all up to its own.
    pub window: Option<usize>,
}

/// The nonlinearity of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// [`calm_backend::ops::gelu`].
    Gelu,
    /// [`calm_backend::ops::gelu_tanh`].
    GeluTanh,
}

/// What a norm computes. All compute in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) · weight`, the product in the type computed in (Llama).
    Rms,
    /// `x / rms(x) · (1 + weight)`, the product in `f32` (Gemma).
    OffsetRms,
    /// [`calm_backend::ops::layer_norm`], with a bias (GPT-2).
    Layer,
}

/// Token ids that a model gives a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecialIds {
    /// Begins a sequence.
    pub bos: Option<u32>,
    /// Any of these ends one.
    pub eos: Vec<u32>,
    /// Fills up shorter rows of a batch.
    pub pad: Option<u32>,
}

impl SpecialIds {
    /// Checks that every id has an embedding.
    pub(crate) fn validate(&self, vocab_size: usize) -> Result<(), ConfigError> {
        let mut ids = self.bos.iter().chain(&self.eos).chain(&self.pad);
        match ids.find(|id| **id as usize >= vocab_size) {
            Some(id) => Err(ConfigError::SpecialId {
                id: *id,
                vocab_size,
            }),
            None => Ok(()),
        }
    }

    /// The ids that end a sequence, as files write them.
    pub(crate) fn eos_json(&self) -> Value {
        match self.eos.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        }
    }
}

/// How files write one or several ids.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl From<OneOrMany> for Vec<u32> {
    fn from(ids: OneOrMany) -> Self {
        match ids {
            OneOrMany::One(id) => vec![id],
            OneOrMany::Many(ids) => ids,
        }
    }
}

/// Bounds like this one, which no real model comes near, keep a damaged file from asking for
/// terabytes.
const MAX_WIDTH: usize = 1 << 20;
pub(crate) const MAX_BLOCKS: usize = 1 << 12;

impl DecoderConfig {
    /// A small Llama-shaped model: as many key-value heads as heads, a feed-forward layer of
    /// 8/3 the width (rounded up to a multiple of 16), θ = 10⁴, ε = 10⁻⁵, a tied head, no biases,
    /// 2048 positions. Fields can be changed before use.
    pub fn llama(vocab_size: usize, d_model: usize, block_count: usize, heads: usize) -> Self {
        let block = BlockConfig {
            rope: Some(RopeConfig::plain(1e4)),
            window: None,
        };
        Self {
            family: Family::Llama,
            vocab_size,
            d_model,
            blocks: vec![block; block_count],
            heads,
            kv_heads: heads,
            d_head: d_model.checked_div(heads).unwrap_or(0),
            d_ff: (d_model * 8 / 3).next_multiple_of(16),
            activation: Activation::Silu,
            gated: true,
            norm: NormKind::Rms,
            norm_epsilon: 1e-5,
            post_norms: false,
            qk_norms: false,
            query_scalar: None,
            attention_softcap: None,
            logit_softcap: None,
            attention_bias: false,
            output_bias: false,
            mlp_bias: false,
            embedding_scale: None,
            learnt_positions: false,
            tied_head: true,
            context_length: 2048,
            special: SpecialIds::default(),
        }
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// What the attention's scores are multiplied by.
    pub(crate) fn score_scale(&self) -> f64 {
        self.query_scalar
            .unwrap_or(self.d_head as f64)
            .sqrt()
            .recip()
    }

    /// Bytes that keys and values of one position take in all blocks, kept as `dtype`.
    pub fn cache_bytes_per_token(&self, dtype: FloatType) -> usize {
        2 * self.block_count() * self.kv_heads * self.d_head * dtype.bytes()
    }

    /// Checks what every decoder needs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the number that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_sizes()?;
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        if !heads.is_multiple_of(kv_heads) {
            return Err(ConfigError::KvHeads { heads, kv_heads });
        }
        self.validate_numbers()?;
        for block in &self.blocks {
            block.validate(self.d_head)?;
        }
        self.special.validate(self.vocab_size)
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocabulary size", self.vocab_size, 1 << 24),
            ("hidden size", self.d_model, MAX_WIDTH),
            ("number of blocks", self.block_count(), MAX_BLOCKS),
            ("number of attention heads", self.heads, MAX_WIDTH),
            ("number of key-value heads", self.kv_heads, MAX_WIDTH),
            ("head width", self.d_head, MAX_WIDTH),
            (
                "width of all heads",
                self.heads.saturating_mul(self.d_head),
                MAX_WIDTH,
            ),
            ("feed-forward width", self.d_ff, MAX_WIDTH),
            ("context length", self.context_length, 1 << 30),
        ];
        sizes
            .into_iter()
            .try_for_each(|(name, value, largest)| check_size(name, value, largest))
    }

    fn validate_numbers(&self) -> Result<(), ConfigError> {
        check_positive("norm epsilon", self.norm_epsilon)?;
        let optional = [
            ("query_pre_attn_scalar", self.query_scalar),
            ("bound of the attention scores", self.attention_softcap),
            ("bound of the logits", self.logit_softcap),
            ("embedding scale", self.embedding_scale),
        ];
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .try_for_each(|(name, value)| check_positive(name, value))
    }
}

impl BlockConfig {
    fn validate(&self, d_head: usize) -> Result<(), ConfigError> {
        if let Some(window) = self.window {
            check_size("sliding window", window, 1 << 30)?;
        }
        match &self.rope {
            Some(rope) => rope.validate(d_head),
            None => Ok(()),
        }
    }
}

/// Checks that a size is neither zero nor absurd.
pub(crate) fn check_size(
    name: &'static str,
    value: usize,
    largest: usize,
) -> Result<(), ConfigError> {
    if (1..=largest).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Size {
        name,
        value,
        largest,
    })
}

fn check_positive(name: &'static str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(ConfigError::NotPositive { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shape_is_valid() {
        let config = DecoderConfig::llama(320, 48, 4, 4);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!((config.d_head, config.d_ff), (12, 128));
        let (keys_and_values, blocks, width, bytes) = (2, 4, 48, 2);
        assert_eq!(
            config.cache_bytes_per_token(FloatType::F16),
            keys_and_values * blocks * width * bytes
        );
    }

    #[test]
    fn impossible_numbers_are_named() {
        let message = |change: fn(&mut DecoderConfig)| {
            let mut config = DecoderConfig::llama(320, 48, 4, 4);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(message(|c| c.heads = 0).contains("number of attention heads is 0"));
        assert!(message(|c| c.blocks.clear()).contains("number of blocks is 0"));
        assert!(message(|c| c.blocks[2].window = Some(0)).contains("sliding window is 0"));
        assert!(message(|c| c.logit_softcap = Some(0.0)).contains("bound of the logits is 0"));
        assert!(message(|c| c.kv_heads = 3).contains("3 key-value heads do not divide 4"));
        assert!(message(|c| c.d_head = 11).contains("even width, not 11"));
        assert!(message(|c| c.norm_epsilon = f64::NAN).contains("norm epsilon is NaN"));
        assert!(message(|c| c.special.eos = vec![2, 320]).contains("token id 320"));
    }
}
