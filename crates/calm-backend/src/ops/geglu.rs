//! The gate of the feed-forward layer in Gemma.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::extension::{Dispatch, is_on_processor};
use super::gelu_tanh;
#[cfg(feature = "flex")]
use super::processor::ProcessorOps;

/// `gelu_tanh(gate) · up`, element by element (arXiv 2002.05202), the activation as in
/// [`gelu_tanh`].
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn geglu_tanh(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(feature = "flex")]
    if is_on_processor(&gate)
        && [gate.dtype(), up.dtype()] == [burn::tensor::DType::F32; 2]
        && gate.dims() == up.dims()
    {
        let output = Dispatch::geglu_tanh(gate.into_dispatch(), up.into_dispatch());
        return Tensor::from_dispatch(output);
    }
    plain(gate, up)
}

/// [`geglu_tanh`] out of Burn's own operations.
pub fn plain(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    gelu_tanh(gate) * up
}

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

    use super::super::swiglu::fused::Curve;

    /// The curve of the approximate GELU: `(1 + tanh(x)) / 2 = sigmoid(2 x)`.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Cubic;

    impl Cubic {
        /// 2 √(2/π).
        const LINEAR: f32 = 2.0 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
        const CUBIC: f32 = 0.044_715 * Self::LINEAR;
    }

    impl Curve for Cubic {
        #[inline(always)]
        fn at(x: f32) -> f32 {
            x * (Self::LINEAR + Self::CUBIC * x * x)
        }

        #[inline(always)]
        fn slope(x: f32) -> f32 {
            Self::LINEAR + 3.0 * Self::CUBIC * x * x
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_same, random};

    fn op(f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>) -> impl Fn([Tensor<3>; 2]) -> Tensor<3> {
        move |[gate, up]| f(gate, up)
    }

    #[test]
    fn as_the_plain_composition() {
        for shape in [[1, 1, 1], [2, 3, 5], [5, 41, 129]] {
            let inputs = [random(shape, 2.0), random(shape, 3.0)];
            assert_same(inputs, op(geglu_tanh), op(plain));
        }
    }

    #[test]
    fn one_tracked_input_gets_a_gradient_alone() {
        let (a, b) = (random([2, 3, 5], 1.0), random([2, 3, 5], 1.0));
        let with_up = |f: fn(_, _) -> _| {
            let up = b.clone();
            move |[gate]: [Tensor<3>; 1]| f(gate, up.clone())
        };
        assert_same([a.clone()], with_up(geglu_tanh), with_up(plain));
        let with_gate = |f: fn(_, _) -> _| {
            let gate = a.clone();
            move |[up]: [Tensor<3>; 1]| f(gate.clone(), up)
        };
        assert_same([b.clone()], with_gate(geglu_tanh), with_gate(plain));
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
