//! Activations of feed-forward layers.

use std::f64::consts::SQRT_2;

use burn::tensor::activation::{
    hard_swish, leaky_relu, mish, relu, relu6, sigmoid, silu, softplus, tanh,
};
use burn::tensor::{DType, Tensor};
use calm_backend::ops;

use crate::config::Activation;

/// The mean of the distribution, rounded as the models were trained with it.
#[expect(clippy::approx_constant, reason = "not 1/√2, which it comes from")]
const LAPLACE_MEAN: f64 = 0.707_107;

fn laplace<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ((x - LAPLACE_MEAN) / (0.282_095 * SQRT_2)).erf() * 0.5 + 0.5
}

impl Activation {
    /// `act(x)`, computed in `f32`.
    pub(super) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        let f: fn(Tensor<D>) -> Tensor<D> = match self {
            Self::Silu => return silu(x),
            Self::Gelu => return ops::gelu(x),
            Self::GeluTanh => return ops::gelu_tanh(x),
            Self::Linear => return x,
            Self::GeluClipped => |x| ops::gelu(x).clamp(-10.0, 10.0),
            Self::QuickGelu => |x| sigmoid(x.clone() * 1.702) * x,
            Self::Relu => relu,
            Self::SquaredRelu => |x| relu(x).square(),
            Self::Relu6 => relu6,
            Self::LeakyRelu => |x| leaky_relu(x, 0.01),
            Self::HardSwish => hard_swish,
            Self::Mish => mish,
            Self::Laplace => laplace,
            Self::SqrtSoftplus => |x| softplus(x, 1.0).sqrt(),
            Self::Sigmoid => sigmoid,
            Self::Tanh => tanh,
        };
        let dtype = x.dtype();
        f(x.cast(DType::F32)).cast(dtype)
    }

    /// `act(gate) · up`.
    pub(super) fn gate(self, gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Silu => ops::swiglu(gate, up),
            Self::GeluTanh => ops::geglu_tanh(gate, up),
            other => other.apply(gate) * up,
        }
    }
}
