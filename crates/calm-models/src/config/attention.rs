//! Attention of a block.

use super::block::{NormConfig, NormKind};
use super::params::{BlockParam, ParamShape};
use super::{ConfigError, MAX_WIDTH, RopeConfig, check_optional, check_positive, check_size};

/// Causal self-attention with grouped key-value heads.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key-value heads, a divisor of `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Encoding of positions in queries and keys.
    pub encoding: PositionEncoding,
    /// Number of positions that a query sees, its own included; none: all up to its own.
    pub window: Option<usize>,
    /// Norms of queries and keys, before they are rotated.
    pub qk_norm: Option<QkNorm>,
    /// Factor of the scores.
    pub scale: ScoreScale,
    /// Bound of the scores, see [`calm_backend::ops::softcap`].
    pub softcap: Option<f64>,
    /// Whether the projections to queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output projection has a bias.
    pub output_bias: bool,
}

/// Encoding of positions within an attention.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum PositionEncoding {
    /// None: the attention itself knows no positions.
    #[default]
    None,
    /// Rotation of queries and keys.
    Rope(RopeConfig),
    /// Biases of the scores that grow with the position of the key, in each head at a slope of its
    /// own (ALiBi, arXiv 2108.12409). Only differences within a row count, which are those of
    /// distances.
    Alibi(AlibiKind),
}

/// How the biases of ALiBi join the scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlibiKind {
    /// Added to the scaled scores, rounded to the compute type (Bloom).
    AfterScale,
    /// Added before the scores are scaled, and rounded to `bf16` in any compute type (Falcon).
    BeforeScale,
}

/// Norms of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QkNorm {
    /// Of every head by itself, all with the same weights (Qwen 3).
    Heads(NormConfig),
    /// Of all heads together (OLMo 2).
    Whole(NormConfig),
    /// Of every head by itself, each with weights of its own and no bias: a layer norm (`StableLM` 2
    /// 12B).
    LayerOfEachHead {
        /// Added to the variance.
        epsilon: f64,
    },
}

impl QkNorm {
    pub(crate) fn config(self) -> NormConfig {
        match self {
            Self::Heads(norm) | Self::Whole(norm) => norm,
            Self::LayerOfEachHead { epsilon } => NormConfig {
                kind: NormKind::LayerWithoutBias,
                epsilon,
            },
        }
    }

    /// Shape for so many heads of this width.
    fn shape(self, heads: usize, d_head: usize) -> ParamShape {
        match self {
            Self::Heads(norm) => norm.shape(d_head),
            Self::Whole(_) | Self::LayerOfEachHead { .. } => self.config().shape(heads * d_head),
        }
    }
}

/// Factor of the scores.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum ScoreScale {
    /// `1 / √d_head`.
    #[default]
    HeadWidth,
    /// `1 / √x` (Gemma 2).
    InverseRoot(f64),
    /// The factor itself (Granite).
    Factor(f64),
}

impl ScoreScale {
    fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::HeadWidth => Ok(()),
            Self::InverseRoot(scalar) => check_positive("query_pre_attn_scalar", scalar),
            Self::Factor(factor) => check_positive("factor of the attention scores", factor),
        }
    }
}

impl AttentionConfig {
    /// The rotary encoding, if that is the kind of encoding.
    pub fn rope(&self) -> Option<&RopeConfig> {
        match &self.encoding {
            PositionEncoding::Rope(rope) => Some(rope),
            PositionEncoding::None | PositionEncoding::Alibi(_) => None,
        }
    }

    /// The kind of ALiBi, if that is the kind of encoding.
    pub fn alibi(&self) -> Option<AlibiKind> {
        match self.encoding {
            PositionEncoding::Alibi(kind) => Some(kind),
            PositionEncoding::None | PositionEncoding::Rope(_) => None,
        }
    }

    /// Width of all query heads.
    pub fn query_width(&self) -> usize {
        self.heads * self.d_head
    }

    /// Width of all key heads, and of all value heads.
    pub fn key_width(&self) -> usize {
        self.kv_heads * self.d_head
    }

    /// Keys and values that decoding keeps of a position.
    pub fn cached_values(&self) -> usize {
        2 * self.key_width()
    }

    /// Positions that a query sees among `context`.
    pub fn visible(&self, context: usize) -> usize {
        self.window.map_or(context, |window| window.min(context))
    }

    /// Factor of the scores.
    pub(crate) fn score_scale(&self) -> f64 {
        match self.scale {
            ScoreScale::HeadWidth => (self.d_head as f64).sqrt().recip(),
            ScoreScale::InverseRoot(scalar) => scalar.sqrt().recip(),
            ScoreScale::Factor(factor) => factor,
        }
    }

    pub(super) fn params(&self, d_model: usize) -> Vec<(BlockParam, ParamShape)> {
        let (queries, keys) = (self.query_width(), self.key_width());
        let linear = |inputs, outputs, bias| ParamShape::Linear {
            inputs,
            outputs,
            bias,
        };
        let mut params = vec![
            (BlockParam::Query, linear(d_model, queries, self.qkv_bias)),
            (BlockParam::Key, linear(d_model, keys, self.qkv_bias)),
            (BlockParam::Value, linear(d_model, keys, self.qkv_bias)),
        ];
        if let Some(norm) = &self.qk_norm {
            let shape = |heads| norm.shape(heads, self.d_head);
            params.push((BlockParam::QueryNorm, shape(self.heads)));
            params.push((BlockParam::KeyNorm, shape(self.kv_heads)));
        }
        params.push((
            BlockParam::Output,
            linear(queries, d_model, self.output_bias),
        ));
        params
    }

    /// Two for each weight of a projection, and those of scores and sums over `context` positions.
    pub(super) fn flops(&self, d_model: usize, context: usize) -> u64 {
        let weights = 2 * d_model * (self.query_width() + self.key_width());
        2 * weights as u64 + 4 * (self.query_width() * self.visible(context)) as u64
    }

    /// Queries, keys and values; where the projections are `trained`, their inputs too.
    pub(super) fn backward_values(&self, d_model: usize, trained: bool) -> usize {
        let inputs = if trained {
            d_model + self.query_width()
        } else {
            0
        };
        self.query_width() + 2 * self.key_width() + inputs
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let (heads, kv_heads) = (self.heads, self.kv_heads);
        check_size("number of attention heads", heads, MAX_WIDTH)?;
        check_size("number of key-value heads", kv_heads, MAX_WIDTH)?;
        check_size("head width", self.d_head, MAX_WIDTH)?;
        let width = heads.saturating_mul(self.d_head);
        check_size("width of all heads", width, MAX_WIDTH)?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(ConfigError::KvHeads { heads, kv_heads });
        }
        self.scale.validate()?;
        check_optional("bound of the attention scores", self.softcap)?;
        if let (Some(_), Some(_)) = (self.alibi(), self.softcap) {
            return Err(ConfigError::BoundedAlibi);
        }
        if let Some(window) = self.window {
            check_size("sliding window", window, 1 << 30)?;
        }
        if let Some(norm) = &self.qk_norm {
            norm.config().validate()?;
        }
        self.rope()
            .map_or(Ok(()), |rope| rope.validate(self.d_head))
    }
}
