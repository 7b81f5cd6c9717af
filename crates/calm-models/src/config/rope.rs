//! Rotary position encoding, settled.

use std::sync::Arc;

use super::{ConfigError, check_positive, check_size};

/// Rotary position encoding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeConfig {
    /// The base θ of the frequencies θ^(-2i / d_rotary).
    pub theta: f64,
    /// The share of a head that is rotated: `d_rotary` is this much of `d_head`, rounded down.
    pub partial: f64,
    /// Change of the frequencies for longer contexts.
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

    /// Width of the rotated part of a head.
    pub(crate) fn d_rotary(&self, d_head: usize) -> usize {
        (d_head as f64 * self.partial) as usize
    }
}

/// Change of the rotary frequencies for contexts longer than those of pre-training.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    None,
    /// Every frequency divided by a factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// A larger base for sequences longer than the original context, the larger the longer.
    Dynamic {
        /// Growth of the base with the length.
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
    /// within the original context by another than for longer ones. Blocks share the factors.
    LongRope {
        /// Divisors for sequences of at most the original context, one for each frequency.
        short_factors: Arc<[f64]>,
        /// Divisors for longer ones.
        long_factors: Arc<[f64]>,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
        /// Context length of the original pre-training.
        original_context: usize,
    },
}

impl RopeConfig {
    pub(super) fn validate(&self, d_head: usize) -> Result<(), ConfigError> {
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
