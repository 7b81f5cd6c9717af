//! Blocks and norms.

use super::params::{BlockParam, ParamShape};
use super::{AttentionConfig, ConfigError, FeedForwardConfig, check_optional, check_positive};

/// One block of a decoder. It knows its parameters, its cost and the values that are kept of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockConfig {
    /// Mixes positions.
    pub attention: AttentionConfig,
    /// Works on each position alone.
    pub feed_forward: FeedForwardConfig,
    /// Placement of norms and sums around the two.
    pub residual: ResidualConfig,
    /// Every norm of the block but those of queries and keys.
    pub norm: NormConfig,
}

/// Placement of the norms around the residual connections of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResidualConfig {
    /// `x + f(norm(x))`, attention before feed-forward layer.
    PreNorm,
    /// `x + norm(f(norm(x)))`, attention before feed-forward layer (Gemma 2).
    SandwichNorm,
    /// `x + attention(norm(x)) + feed_forward(norm'(x))`: neither waits for the other (GPT-NeoX).
    Parallel,
    /// As [`ResidualConfig::Parallel`], with one norm for both (Falcon 7B).
    ParallelSharedNorm,
    /// `norm(x) + f(norm(x))`, attention before feed-forward layer: what is normed goes on, not `x`
    /// (a variant of Bloom).
    NormedSkip,
    /// `x + norm(f(x))`, attention before feed-forward layer (OLMo 2).
    PostNorm,
    /// `x + factor · f(norm(x))`, attention before feed-forward layer (Granite).
    ScaledPreNorm {
        /// Factor of what the parts add.
        factor: f64,
    },
}

impl ResidualConfig {
    /// The norms over hidden states, of all that a block may have.
    fn norms(self) -> &'static [BlockParam] {
        use BlockParam::*;

        match self {
            Self::PreNorm | Self::Parallel | Self::NormedSkip | Self::ScaledPreNorm { .. } => {
                &[AttentionNorm, FeedForwardNorm]
            }
            Self::ParallelSharedNorm => &[AttentionNorm],
            Self::SandwichNorm => &[
                AttentionNorm,
                AttentionPostNorm,
                FeedForwardNorm,
                FeedForwardPostNorm,
            ],
            Self::PostNorm => &[AttentionPostNorm, FeedForwardPostNorm],
        }
    }

    /// Number of different hidden states that norms read: those before the two parts, or else those
    /// behind them.
    fn norm_inputs(self) -> usize {
        match self {
            Self::Parallel | Self::ParallelSharedNorm => 1,
            _ => 2,
        }
    }

    /// Factor of what the parts add, where there is one.
    pub(crate) fn factor(self) -> Option<f64> {
        match self {
            Self::ScaledPreNorm { factor } => Some(factor),
            _ => None,
        }
    }
}

/// Norm over the last axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormConfig {
    /// Formula.
    pub kind: NormKind,
    /// Added to the mean square, or to the variance.
    pub epsilon: f64,
}

/// Formula of a norm. All are computed in `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) · weight`, the product in the compute type (Llama).
    Rms,
    /// `x / rms(x) · weight`, the product in `f32` (OLMo 2).
    UnroundedRms,
    /// `x / rms(x) · (1 + weight)`, the product in `f32` (Gemma).
    OffsetRms,
    /// [`calm_backend::ops::layer_norm`], with a bias (GPT-2).
    Layer,
    /// The same without a bias.
    LayerWithoutBias,
}

impl NormKind {
    /// Weight with which a norm only normalises.
    pub(crate) fn neutral_weight(self) -> f32 {
        match self {
            Self::OffsetRms => 0.0,
            Self::Rms | Self::UnroundedRms | Self::Layer | Self::LayerWithoutBias => 1.0,
        }
    }
}

impl NormConfig {
    pub(crate) fn shape(&self, width: usize) -> ParamShape {
        let bias = self.kind == NormKind::Layer;
        ParamShape::Norm { width, bias }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_positive("norm epsilon", self.epsilon)
    }
}

impl BlockConfig {
    /// Number of parameters.
    pub fn parameter_count(&self, d_model: usize) -> usize {
        let params = self.params(d_model).into_iter();
        params.map(|(_, shape)| shape.count()).sum()
    }

    /// Number of parameters that a token is computed with: all but those of experts that it does not
    /// use.
    pub fn active_parameter_count(&self, d_model: usize) -> usize {
        self.parameter_count(d_model) - self.feed_forward.unused(d_model)
    }

    /// Operations for a token that sees `context` positions: two for each weight that it is
    /// multiplied with, and those of the attention. Norms, activations and rotations are left out.
    pub fn flops_per_token(&self, d_model: usize, context: usize) -> u64 {
        self.attention.flops(d_model, context) + self.feed_forward.flops(d_model)
    }

    /// Keys and values that decoding keeps of a position.
    pub fn cached_values(&self) -> usize {
        self.attention.cached_values()
    }

    /// Values that the backward pass needs of a position, besides attention weights: inputs of the
    /// norms before the parts, of attention and of the activation, and, where the weights are
    /// `trained`, of the projections.
    pub fn backward_values(&self, d_model: usize, trained: bool) -> usize {
        self.residual.norm_inputs() * d_model
            + self.attention.backward_values(d_model, trained)
            + self.feed_forward.backward_values(d_model, trained)
    }

    /// The parameters, in the order in which a decoder is built.
    pub(crate) fn params(&self, d_model: usize) -> Vec<(BlockParam, ParamShape)> {
        use BlockParam::*;

        let (norms, shape) = (self.residual.norms(), self.norm.shape(d_model));
        let norm = |part| norms.contains(&part).then_some((part, shape));
        let mut params = Vec::new();
        params.extend(norm(AttentionNorm));
        params.extend(self.attention.params(d_model));
        params.extend(norm(AttentionPostNorm));
        params.extend(norm(FeedForwardNorm));
        params.extend(self.feed_forward.params(d_model));
        params.extend(norm(FeedForwardPostNorm));
        params
    }

    /// The shape of a part; none if the block has no such part.
    pub(crate) fn shape(&self, part: BlockParam, d_model: usize) -> Option<ParamShape> {
        // There are many experts, so they are not looked for in the list.
        if let BlockParam::Expert(index, part) = part {
            return self.feed_forward.expert_shape(index, part, d_model);
        }
        let mut params = self.params(d_model).into_iter();
        params.find_map(|(other, shape)| (other == part).then_some(shape))
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.attention.validate()?;
        self.feed_forward.validate()?;
        check_optional("factor of the residual connections", self.residual.factor())?;
        self.norm.validate()
    }
}
