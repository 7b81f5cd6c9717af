//! A decoder's description with every question settled.

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

/// Bounds that no real model comes near; they keep a damaged file from asking for terabytes.
const LARGEST: [(&str, usize); 4] = [
    ("vocabulary", 1 << 24),
    ("width", 1 << 20),
    ("number of blocks", 1 << 12),
    ("context", 1 << 30),
];

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

    /// Checks what every decoder needs.
    ///
    /// # Errors
    ///
    /// A sentence that says which number is wrong, and what it would have to be.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("vocab_size", self.vocab_size),
            ("hidden size", self.d_model),
            ("number of blocks", self.block_count),
            ("number of attention heads", self.heads),
            ("number of key-value heads", self.kv_heads),
            ("head width", self.d_head),
            ("feed-forward width", self.d_ff),
            ("context length", self.context_length),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("the {name} is 0; it must be at least 1"));
        }
        self.validate_bounds()?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(format!(
                "{} key-value heads do not divide {} attention heads",
                self.kv_heads, self.heads
            ));
        }
        if !self.d_head.is_multiple_of(2) {
            return Err(format!(
                "rotary encoding needs heads of even width, not {}",
                self.d_head
            ));
        }
        self.validate_numbers()?;
        self.validate_special_ids()
    }

    fn validate_bounds(&self) -> Result<(), String> {
        let widest = self
            .d_model
            .max(self.d_ff)
            .max(self.heads.saturating_mul(self.d_head));
        let values = [
            self.vocab_size,
            widest,
            self.block_count,
            self.context_length,
        ];
        for ((name, largest), value) in LARGEST.iter().zip(values) {
            if value > *largest {
                return Err(format!(
                    "a {name} of {value} is beyond the largest allowed, {largest}"
                ));
            }
        }
        Ok(())
    }

    fn validate_numbers(&self) -> Result<(), String> {
        let mut positive = vec![
            ("norm epsilon", self.norm_epsilon),
            ("rope theta", self.rope.theta),
        ];
        match self.rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => positive.push(("rope factor", factor)),
            RopeScaling::Llama3 {
                factor,
                low_frequency_factor,
                high_frequency_factor,
                original_context,
            } => positive.extend([
                ("rope factor", factor),
                ("rope low_freq_factor", low_frequency_factor),
                (
                    "rope high_freq_factor minus low_freq_factor",
                    high_frequency_factor - low_frequency_factor,
                ),
                (
                    "rope original_max_position_embeddings",
                    original_context as f64,
                ),
            ]),
        }
        match positive
            .iter()
            .find(|(_, value)| !(value.is_finite() && *value > 0.0))
        {
            Some((name, value)) => Err(format!("the {name} is {value}; it must be above 0")),
            None => Ok(()),
        }
    }

    fn validate_special_ids(&self) -> Result<(), String> {
        let SpecialIds { bos, eos, pad } = &self.special;
        match bos
            .iter()
            .chain(eos)
            .chain(pad)
            .find(|id| **id as usize >= self.vocab_size)
        {
            Some(id) => Err(format!(
                "special token id {id} is outside the vocabulary of {} tokens",
                self.vocab_size
            )),
            None => Ok(()),
        }
    }
}
