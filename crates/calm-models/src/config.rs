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

/// Rotary position encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// The base θ of the frequencies θ^(-2i / d_rotary).
    pub theta: f64,
    /// The share of a head that is turned: `d_rotary` is this much of `d_head`, rounded down.
    pub partial: f64,
    /// What was done to the frequencies for longer contexts.
    pub scaling: RopeScaling,
}

impl RopeConfig {
    /// Whole heads, unscaled.
    pub fn plain(theta: f64) -> Self {
        Self {
            theta,
            partial: 1.0,
            scaling: RopeScaling::None,
        }
    }

    /// How much of a head is turned.
    pub(crate) fn d_rotary(&self, d_head: usize) -> usize {
        (d_head as f64 * self.partial) as usize
    }
}

/// How the rotary frequencies were changed for contexts longer than those of pre-training.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// A larger base for sequences longer than the original context, the larger the longer.
    Dynamic {
        /// How fast the base grows with the length.
        factor: f64,
        /// Context length up to which nothing changes.
        original_context: usize,
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
    /// YaRN (arXiv 2309.00071): as of Llama 3, blended over the index of the frequency.
    Yarn {
        /// Divides the low frequencies.
        factor: f64,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
        /// Frequencies that turn more often within the original context are high.
        beta_fast: f64,
        /// Frequencies that turn less often are low.
        beta_slow: f64,
        /// Whether the ends of the blend are rounded outwards to whole indices.
        truncate: bool,
        /// Context length of the original pre-training.
        original_context: usize,
    },
    /// LongRoPE (arXiv 2402.13753): every frequency divided by a factor of its own, for sequences
    /// within the original context by another than for longer ones.
    LongRope {
        /// Divisors for sequences of at most the original context, one for each frequency.
        short_factors: Vec<f64>,
        /// Divisors for longer ones.
        long_factors: Vec<f64>,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
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

impl RopeConfig {
    fn validate(&self, d_head: usize) -> Result<(), ConfigError> {
        check_positive("rope theta", self.theta)?;
        check_positive("partial rotary factor", self.partial)?;
        let d_rotary = self.d_rotary(d_head);
        check_size("rotary width", d_rotary, d_head)?;
        // An odd share of a head is turned as if it were one wider.
        if d_rotary.next_multiple_of(2) > d_head {
            return Err(ConfigError::OddHeadWidth { d_head });
        }
        self.scaling.validate(d_rotary.div_ceil(2))
    }
}

impl RopeScaling {
    fn validate(&self, frequencies: usize) -> Result<(), ConfigError> {
        if let Self::LongRope {
            short_factors,
            long_factors,
            ..
        } = self
        {
            for (name, factors) in [
                ("short_factor", short_factors),
                ("long_factor", long_factors),
            ] {
                check_factors(name, factors, frequencies)?;
            }
        }
        self.numbers()
            .into_iter()
            .try_for_each(|(name, value)| check_positive(name, value))
    }

    /// Numbers that must be above zero.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let original = |context: &usize| ("rope original_max_position_embeddings", *context as f64);
        match self {
            Self::None => vec![],
            Self::Linear { factor } => vec![("rope factor", *factor)],
            Self::Dynamic {
                factor,
                original_context,
            } => vec![("rope factor", *factor), original(original_context)],
            Self::Llama3 {
                factor,
                low_frequency_factor: low,
                high_frequency_factor: high,
                original_context,
            } => vec![
                ("rope factor", *factor),
                ("rope low_freq_factor", *low),
                ("rope high_freq_factor minus low_freq_factor", high - low),
                original(original_context),
            ],
            Self::Yarn {
                factor,
                attention_factor,
                beta_fast,
                beta_slow,
                original_context,
                ..
            } => vec![
                ("rope factor", *factor),
                ("rope attention_factor", *attention_factor),
                ("rope beta_slow", *beta_slow),
                ("rope beta_fast minus beta_slow", beta_fast - beta_slow),
                original(original_context),
            ],
            Self::LongRope {
                attention_factor,
                original_context,
                ..
            } => vec![
                ("rope attention_factor", *attention_factor),
                original(original_context),
            ],
        }
    }
}

fn check_factors(name: &'static str, factors: &[f64], expected: usize) -> Result<(), ConfigError> {
    if factors.len() != expected {
        return Err(ConfigError::FactorCount {
            name,
            found: factors.len(),
            expected,
        });
    }
    factors
        .iter()
        .try_for_each(|factor| check_positive(name, *factor))
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
    /// A list of rotary divisors is too short or too long.
    #[error("{name} has {found} numbers, the heads have {expected} rotary frequencies")]
    FactorCount {
        /// Its key.
        name: &'static str,
        /// Its length.
        found: usize,
        /// What it would have to be.
        expected: usize,
    },
    /// A list with an entry for every block is too short or too long.
    #[error("{name} has {found} entries for {expected} blocks")]
    BlockList {
        /// Its key.
        name: &'static str,
        /// Its length.
        found: usize,
        /// Number of blocks.
        expected: usize,
    },
    /// Blocks are said to see a window of positions, but not how wide it is.
    #[error("layer_types has sliding_attention, but there is no sliding_window")]
    NoWindow,
    /// A number must be above zero.
    #[error("the {name} is {value}; it must be above 0")]
    NotPositive {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
    },
    /// A number that the position encoding needs is missing.
    #[error("{section} has no {name}")]
    MissingRopeNumber {
        /// `rope_parameters` or `rope_scaling`.
        section: String,
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
        assert!(message(|c| c.blocks.clear()).contains("number of blocks is 0"));
        assert!(message(|c| c.blocks[2].window = Some(0)).contains("sliding window is 0"));
        assert!(message(|c| c.logit_softcap = Some(0.0)).contains("bound of the logits is 0"));
        assert!(message(|c| c.kv_heads = 3).contains("3 key-value heads do not divide 4"));
        assert!(message(|c| c.d_head = 11).contains("even width, not 11"));
        assert!(message(|c| c.norm_epsilon = f64::NAN).contains("norm epsilon is NaN"));
        assert!(message(|c| c.special.eos = vec![2, 320]).contains("token id 320"));
    }
}
