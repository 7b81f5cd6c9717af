//! The gate of the feed-forward layer in Gemma.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::gated::{Activation, gated};
use super::gelu_tanh;

/// `gelu_tanh(gate) · up`, element by element (arXiv 2002.05202), the activation as in
/// [`gelu_tanh`].
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn geglu_tanh(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if let Some(output) = gated(&gate, &up, Activation::GeluTanh) {
        return output;
    }
    plain(gate, up)
}

/// [`geglu_tanh`] out of Burn's own operations.
pub fn plain(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    gelu_tanh(gate) * up
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    fn op(f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>) -> impl Fn([Tensor<3>; 2]) -> Tensor<3> {
        move |[gate, up]| f(gate, up)
    }

    #[test]
    fn as_the_plain_composition() {
        for shape in [[1, 1, 1], [2, 3, 5], [5, 41, 129]] {
            let inputs = [random(shape, 2.0), random(shape, 3.0)];
            assert_fused(inputs, op(geglu_tanh), op(plain));
        }
    }

    #[test]
    fn one_tracked_input_gets_a_gradient_alone() {
        let (a, b) = (random([2, 3, 5], 1.0), random([2, 3, 5], 1.0));
        let with_up = |f: fn(_, _) -> _| {
            let up = b.clone();
            move |[gate]: [Tensor<3>; 1]| f(gate, up.clone())
        };
        assert_fused([a.clone()], with_up(geglu_tanh), with_up(plain));
        let with_gate = |f: fn(_, _) -> _| {
            let gate = a.clone();
            move |[up]: [Tensor<3>; 1]| f(gate.clone(), up)
        };
        assert_fused([b.clone()], with_gate(geglu_tanh), with_gate(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [random([2, 3, 5], 1.0), random([2, 3, 5], 1.0)];
        assert_finite_differences(&inputs, op(geglu_tanh));
    }

    #[test]
    fn far_from_zero() {
        let device = burn::tensor::Device::default();
        let gate = Tensor::<3>::from_floats([[[-1e10, -20.0, 20.0, 1e10]]], &device);
        let output = geglu_tanh(gate, Tensor::ones([1, 1, 4], &device));
        let expected = Tensor::<3>::from_floats([[[0.0, 0.0, 20.0, 1e10]]], &device);
        assert_eq!(output.abs().into_data(), expected.into_data());
    }
}
