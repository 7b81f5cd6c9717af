//! A decoder's description with every question settled.

use calm_backend::FloatType;
use serde::Deserialize;
use serde_json::{Value, json};

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
    /// Number of blocks.
    pub block_count: usize,
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width inside the feed-forward layer.
    pub d_ff: usize,
    /// Added to the mean square in every norm.
    pub norm_epsilon: f64,
    /// Position encoding.
    pub rope: RopeConfig,
    /// Whether the attention's four projections have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward layer's three projections have biases.
    pub mlp_bias: bool,
    /// Whether the head is the embedding, transposed.
    pub tied_head: bool,
    /// The longest sequence that the model was made for.
    pub context_length: usize,
    /// Ids with a meaning of their own.
    pub special: SpecialIds,
}

/// Rotary position encoding: base and scaling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// The base θ of the frequencies θ^(-2i / d_head).
    pub theta: f64,
    /// What was done to the frequencies for longer contexts.
    pub scaling: RopeScaling,
}

/// How the rotary frequencies were changed for contexts longer than those of pre-training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3: low frequencies divided by a factor, high ones kept, those between blended.
    Llama3 {
        /// Divides the low frequencies.
        factor: f64,
        /// Wavelengths above `original_context / low_frequency_factor` are low frequencies.
        low_frequency_factor: f64,
        /// Wavelengths below `original_context / high_frequency_factor` are high frequencies.
        high_frequency_factor: f64,
        /// Context length of the original pre-training.
        original_context: usize,
    },
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

impl DecoderConfig {
    /// A small Llama-shaped model: as many key-value heads as heads, a feed-forward layer of
    /// 8/3 the width (rounded up to a multiple of 16), θ = 10⁴, ε = 10⁻⁵, a tied head, no biases,
    /// 2048 positions. Fields can be changed before use.
    pub fn llama(vocab_size: usize, d_model: usize, block_count: usize, heads: usize) -> Self {
        Self {
            family: Family::Llama,
            vocab_size,
            d_model,
            block_count,
            heads,
            kv_heads: heads,
            d_head: d_model.checked_div(heads).unwrap_or(0),
            d_ff: (d_model * 8 / 3).next_multiple_of(16),
            norm_epsilon: 1e-5,
            rope: RopeConfig {
                theta: 1e4,
                scaling: RopeScaling::None,
            },
            attention_bias: false,
            mlp_bias: false,
            tied_head: true,
            context_length: 2048,
            special: SpecialIds::default(),
        }
    }

    /// Bytes that keys and values of one position take in all blocks, kept as `dtype`.
    pub fn cache_bytes_per_token(&self, dtype: FloatType) -> usize {
        2 * self.block_count * self.kv_heads * self.d_head * dtype.bytes()
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
        if !self.d_head.is_multiple_of(2) {
            return Err(ConfigError::OddHeadWidth {
                d_head: self.d_head,
            });
        }
        self.validate_numbers()?;
        self.special.validate(self.vocab_size)
    }

    fn validate_sizes(&self) -> Result<(), ConfigError> {
        let sizes = [
            ("vocabulary size", self.vocab_size, 1 << 24),
            ("hidden size", self.d_model, MAX_WIDTH),
            ("number of blocks", self.block_count, 1 << 12),
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
        match sizes
            .into_iter()
            .find(|(_, value, largest)| *value == 0 || value > largest)
        {
            Some((name, value, largest)) => Err(ConfigError::Size {
                name,
                value,
                largest,
            }),
            None => Ok(()),
        }
    }

    fn validate_numbers(&self) -> Result<(), ConfigError> {
        let mut positive = vec![
            ("norm epsilon", self.norm_epsilon),
            ("rope theta", self.rope.theta),
        ];
        match self.rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => positive.push(("rope factor", factor)),
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_context,
            } => positive.extend([
                ("rope factor", factor),
                ("rope low_freq_factor", low),
                ("rope high_freq_factor minus low_freq_factor", high - low),
                (
                    "rope original_max_position_embeddings",
                    original_context as f64,
                ),
            ]),
        }
        match positive
            .into_iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            Some((name, value)) => Err(ConfigError::NotPositive { name, value }),
            None => Ok(()),
        }
    }
}

/// Why settings make no model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A size is zero, or beyond what any model has.
    #[error("the {name} is {value}; it must be between 1 and {largest}")]
    Size {
        /// Of what.
        name: &'static str,
        /// The size.
        value: usize,
        /// The largest allowed.
        largest: usize,
    },
    /// The key-value heads cannot be shared evenly.
    #[error("{kv_heads} key-value heads do not divide {heads} attention heads")]
    KvHeads {
        /// Attention heads.
        heads: usize,
        /// Key-value heads.
        kv_heads: usize,
    },
    /// Without a head width of its own, the hidden size must split evenly.
    #[error(
        "{heads} attention heads do not divide the hidden size {d_model}, and there is no head_dim"
    )]
    Heads {
        /// Attention heads.
        heads: usize,
        /// Hidden size.
        d_model: usize,
    },
    /// Rotary encoding turns pairs.
    #[error("rotary encoding needs heads of even width, not {d_head}")]
    OddHeadWidth {
        /// Width of a head.
        d_head: usize,
    },
    /// A number must be above zero.
    #[error("the {name} is {value}; it must be above 0")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A number that the position encoding needs is missing.
    #[error("{section} has no number {name}")]
    MissingRopeNumber {
        /// `rope_parameters` or `rope_scaling`.
        section: &'static str,
        /// Its key.
        name: &'static str,
    },
    /// A special token has no embedding.
    #[error("special token id {id} is outside the vocabulary of {vocab_size} tokens")]
    SpecialId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab_size: usize,
    },
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
        assert!(message(|c| c.block_count = 1_000_000_000).contains("number of blocks"));
        assert!(message(|c| c.kv_heads = 3).contains("3 key-value heads do not divide 4"));
        assert!(message(|c| c.d_head = 11).contains("even width, not 11"));
        assert!(message(|c| c.norm_epsilon = f64::NAN).contains("norm epsilon is NaN"));
        assert!(message(|c| c.special.eos = vec![2, 320]).contains("token id 320"));
    }
}
