//! Gated linear units, `activation(gate) · up`, the gate of a feed-forward layer (arXiv
//! 2002.05202).

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "gpu")]
pub(super) mod gpu;

use burn::tensor::{DType, Tensor, activation::silu};

use super::gelu_tanh;
#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits_or_half, operation};

/// `silu(gate) · up`, element by element.
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if have_kernel(&gate, &up) {
        return fused(gate, up, Activation::Silu);
    }
    plain::swiglu(gate, up)
}

/// `gelu_tanh(gate) · up`, element by element, as in Gemma; the activation as in [`gelu_tanh`].
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn geglu_tanh(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if have_kernel(&gate, &up) {
        return fused(gate, up, Activation::GeluTanh);
    }
    plain::geglu_tanh(gate, up)
}

/// The same out of Burn's own operations.
pub(super) mod plain {
    use super::*;

    /// [`swiglu`](super::swiglu) out of Burn's own operations, the SiLU in `f32`.
    pub fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        silu(gate.cast(DType::F32)).cast(up.dtype()) * up
    }

    /// [`geglu_tanh`](super::geglu_tanh) out of Burn's own operations.
    pub fn geglu_tanh(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
        gelu_tanh(gate) * up
    }
}

/// The activation of a gate, `x · sigmoid(curve(x))`.
#[cfg(any(feature = "flex", feature = "gpu"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Activation {
    /// `curve(x) = x`.
    Silu,
    /// `curve(x) = LINEAR · x + CUBIC · x³ = 2 √(2/π) · (x + 0.044715 x³)`, since
    /// `(1 + tanh(x)) / 2 = sigmoid(2 x)`.
    GeluTanh,
}

/// The coefficient of `x` in the curve of [`Activation::GeluTanh`], `2 √(2/π)`.
#[cfg(any(feature = "flex", feature = "gpu"))]
const LINEAR: f32 = 2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;

/// The coefficient of `x³` in that curve.
#[cfg(any(feature = "flex", feature = "gpu"))]
const CUBIC: f32 = 0.044_715 * LINEAR;

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    Gated {
        inputs: [gate, up],
        constants: [],
        settings: [activation: Activation],
    }
    Flex("flex") => cpu::forward;
    Cube("gpu") => gpu::forward, inference gpu::inference;
}

#[cfg(any(feature = "flex", feature = "gpu"))]
fn have_kernel(gate: &Tensor<3>, up: &Tensor<3>) -> bool {
    let same = gate.dtype() == up.dtype() && gate.dims() == up.dims();
    same && fits_or_half(gate) && fits_or_half(up)
}

#[cfg(any(feature = "flex", feature = "gpu"))]
fn fused(gate: Tensor<3>, up: Tensor<3>, activation: Activation) -> Tensor<3> {
    let output = Dispatch::run(gate.into_dispatch(), up.into_dispatch(), activation);
    Tensor::from_dispatch(output)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::tests::{assert_finite_differences, assert_fused, random};

    type Gate = fn(Tensor<3>, Tensor<3>) -> Tensor<3>;

    /// Each operation with its plain composition.
    const BOTH: [(Gate, Gate); 2] = [(swiglu, plain::swiglu), (geglu_tanh, plain::geglu_tanh)];

    #[test]
    fn swiglu_by_hand() {
        let device = Device::default();
        // sigmoid(ln 3) = 3/4.
        let gate = Tensor::<3>::from_floats([[[0.0, 3f32.ln()]]], &device);
        let up = Tensor::<3>::from_floats([[[5.0, 4.0]]], &device);
        let expected = Tensor::<3>::from_floats([[[0.0, 3.0 * 3f32.ln()]]], &device);
        let output = swiglu(gate, up).into_data();
        output.assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }

    #[test]
    fn as_the_plain_composition() {
        for (fused, plain) in BOTH {
            for shape in [[1, 1, 1], [2, 3, 5], [3, 7, 16], [5, 41, 129]] {
                let inputs = [random(shape, 3.0), random(shape, 3.0)];
                let op = |f: Gate| move |[a, b]: [_; 2]| f(a, b);
                assert_fused(inputs, op(fused), op(plain));
            }
        }
    }

    #[test]
    fn of_views() {
        let op = |f: Gate| {
            move |[a, b]: [Tensor<3>; 2]| {
                f(
                    a.swap_dims(0, 2).narrow(0, 1, 4),
                    b.narrow(2, 3, 4).swap_dims(0, 2),
                )
            }
        };
        for (fused, plain) in BOTH {
            let inputs = [random([4, 6, 10], 3.0), random([4, 6, 10], 3.0)];
            assert_fused(inputs, op(fused), op(plain));
        }
    }

    #[test]
    fn one_tracked_input_gets_a_gradient_alone() {
        for (fused, plain) in BOTH {
            let (a, b) = (random([2, 3, 5], 1.0), random([2, 3, 5], 1.0));
            assert_fused(
                [a.clone()],
                |[a]| fused(a, b.clone()),
                |[a]| plain(a, b.clone()),
            );
            assert_fused([b], |[b]| fused(a.clone(), b), |[b]| plain(a.clone(), b));
        }
    }

    #[test]
    fn finite_differences() {
        for (fused, _) in BOTH {
            let inputs = [random([2, 3, 5], 1.0), random([2, 3, 5], 1.0)];
            assert_finite_differences(&inputs, |[gate, up]| fused(gate, up));
        }
    }

    #[test]
    fn far_from_zero() {
        let device = Device::default();
        let assert_gate = |f: Gate, gate: [f32; 4], expected: [f32; 4]| {
            let gate = Tensor::<1>::from_floats(gate, &device).reshape([1, 1, 4]);
            let output = f(gate, Tensor::ones([1, 1, 4], &device));
            let output: Vec<f32> = output.abs().into_data().try_to_vec().unwrap();
            assert_eq!(output, expected);
        };
        assert_gate(
            swiglu,
            [-1e30, -200.0, 200.0, 1e30],
            [0.0, 0.0, 200.0, 1e30],
        );
        assert_gate(
            geglu_tanh,
            [-1e10, -20.0, 20.0, 1e10],
            [0.0, 0.0, 20.0, 1e10],
        );
    }
}
