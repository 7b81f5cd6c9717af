//! Feed-forward layer of a block.

use super::params::{BlockParam, ParamShape};
use super::{ConfigError, MAX_WIDTH, check_size};

/// Feed-forward layer, which works on each position alone.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedForwardConfig {
    /// Formula.
    pub kind: FeedForwardKind,
    /// Inner width.
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

    /// Width of what the activation reads.
    fn activated(&self) -> usize {
        match self.kind {
            FeedForwardKind::Plain => self.d_ff,
            FeedForwardKind::Gated => 2 * self.d_ff,
        }
    }

    /// Two for each weight.
    pub(super) fn flops(&self, d_model: usize) -> u64 {
        2 * (d_model * (self.activated() + self.d_ff)) as u64
    }

    /// Inputs of the activation; where the projections are `trained`, their inputs too.
    pub(super) fn backward_values(&self, d_model: usize, trained: bool) -> usize {
        self.activated() + if trained { d_model + self.d_ff } else { 0 }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_size("feed-forward width", self.d_ff, MAX_WIDTH)
    }
}
