//! The feed-forward layer of a block, or one expert.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use calm_backend::ops;

use crate::config::Activation;

/// The feed-forward layer: `down(act(gate(x)) · up(x))`, or `down(act(up(x)))` without a gate.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d_model, d_ff]`.
    pub gate: Option<Linear>,
    /// `[d_model, d_ff]`.
    pub up: Linear,
    /// `[d_ff, d_model]`.
    pub down: Linear,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl FeedForward {
    /// `x` and output: `[batch, seq, d_model]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let inner = match &self.gate {
            Some(gate) => {
                let gate = project(gate, x.clone());
                self.activation.gate(gate, project(&self.up, x))
            }
            None => self.activation.apply(project(&self.up, x)),
        };
        project(&self.down, inner)
    }
}

/// `[batch, seq, d_input]` to `[batch, seq, d_output]`.
pub(super) fn project(linear: &Linear, x: Tensor<3>) -> Tensor<3> {
    let bias = linear.bias.as_ref().map(|bias| bias.val());
    ops::linear(x, linear.weight.val(), bias)
}
