//! Feed-forward layer of a block.

use super::experts::ExpertsConfig;
use super::gated::{gated_flops, gated_shape, gated_values};
use super::params::{BlockParam, GatedPart, ParamShape};
use super::{ConfigError, MAX_WIDTH, check_size};

/// Feed-forward layer, which works on each position alone.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForwardConfig {
    /// Formula.
    pub kind: FeedForwardKind,
    /// Inner width; of experts, that of each.
    pub d_ff: usize,
    /// Nonlinearity.
    pub activation: Activation,
    /// Whether the projections have biases.
    pub bias: bool,
}

/// Kind of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedForwardKind {
    /// `down(act(up(x)))`.
    Plain,
    /// `down(act(gate(x)) · up(x))`.
    Gated,
    /// The weighted sum of some such layers, without biases.
    Experts(ExpertsConfig),
}

/// Nonlinearity of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · sigmoid(x)`.
    Silu,
    /// [`calm_backend::ops::gelu`].
    Gelu,
    /// [`calm_backend::ops::gelu_tanh`].
    GeluTanh,
    /// The same, rounded to the compute type after each of its operations (GPT-2).
    GeluNew,
    /// The same in another order: `x/2 · (1 + tanh(√(2/π) x · (1 + 0.044715 x²)))` (BLOOM).
    GeluFast,
    /// `gelu(x)`, bounded to ±10.
    GeluClipped,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²` (arXiv 2109.08668).
    SquaredRelu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x`, negative numbers by a hundredth.
    LeakyRelu,
    /// `x · min(max(x + 3, 0), 6) / 6`.
    HardSwish,
    /// `x · tanh(ln(1 + eˣ))`.
    Mish,
    /// `(1 + erf((x - 0.707107) / (0.282095 √2))) / 2` (arXiv 2209.10655).
    Laplace,
    /// `√ln(1 + eˣ)`.
    SqrtSoftplus,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `x`.
    Linear,
}

impl FeedForwardConfig {
    pub(super) fn params(&self, d_model: usize) -> Vec<(BlockParam, ParamShape)> {
        let (d_ff, bias) = (self.d_ff, self.bias);
        if let FeedForwardKind::Experts(experts) = self.kind {
            return experts.params(d_model, d_ff);
        }
        let linear = |inputs, outputs| ParamShape::Linear {
            inputs,
            outputs,
            bias,
        };
        let gate = (BlockParam::Gate, linear(d_model, d_ff));
        let gate = (self.kind == FeedForwardKind::Gated).then_some(gate);
        let up = (BlockParam::Up, linear(d_model, d_ff));
        let down = (BlockParam::Down, linear(d_ff, d_model));
        gate.into_iter().chain([up, down]).collect()
    }

    /// The shape of a part of an expert; none if the layer has no such expert.
    pub(super) fn expert_shape(
        &self,
        index: usize,
        part: GatedPart,
        d_model: usize,
    ) -> Option<ParamShape> {
        let count = self.experts()?.count;
        (index < count).then(|| gated_shape(d_model, self.d_ff, part))
    }

    /// The experts, if the layer is of that kind.
    pub fn experts(&self) -> Option<ExpertsConfig> {
        match self.kind {
            FeedForwardKind::Experts(experts) => Some(experts),
            FeedForwardKind::Plain | FeedForwardKind::Gated => None,
        }
    }

    /// Parameters that a token does not use.
    pub(super) fn unused(&self, d_model: usize) -> usize {
        let experts = self.experts();
        experts.map_or(0, |experts| experts.unused(d_model, self.d_ff))
    }

    /// Two for each weight that a token is multiplied with.
    pub(super) fn flops(&self, d_model: usize) -> u64 {
        match self.kind {
            FeedForwardKind::Plain => 4 * (d_model * self.d_ff) as u64,
            FeedForwardKind::Gated => gated_flops(d_model, self.d_ff),
            FeedForwardKind::Experts(experts) => experts.flops(d_model, self.d_ff),
        }
    }

    /// Inputs of the activation; where the projections are `trained`, their inputs too.
    pub(super) fn backward_values(&self, d_model: usize, trained: bool) -> usize {
        match self.kind {
            FeedForwardKind::Plain => self.d_ff + if trained { d_model + self.d_ff } else { 0 },
            FeedForwardKind::Gated => gated_values(d_model, self.d_ff, trained),
            FeedForwardKind::Experts(experts) => {
                experts.backward_values(d_model, self.d_ff, trained)
            }
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_size("feed-forward width", self.d_ff, MAX_WIDTH)?;
        self.experts().map_or(Ok(()), |experts| experts.validate())
    }
}
