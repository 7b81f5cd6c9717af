//! The gate of the feed-forward layer.

use burn::tensor::{DType, Tensor, activation::silu};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::gated::{Activation, gated};

/// `silu(gate) · up`, element by element (arXiv 2002.05202).
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if let Some(output) = gated(&gate, &up, Activation::Silu) {
        return output;
    }
    plain(gate, up)
}

/// [`swiglu`] out of Burn's own operations, the SiLU in `f32`.
pub fn plain(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate.cast(DType::F32)).cast(up.dtype()) * up
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    #[test]
    fn by_hand() {
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
        for shape in [[1, 1, 1], [2, 3, 5], [3, 7, 16], [5, 41, 129]] {
            let inputs = [random(shape, 3.0), random(shape, 3.0)];
            let op = |f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| move |[a, b]: [_; 2]| f(a, b);
            assert_fused(inputs, op(swiglu), op(plain));
        }
    }

    #[test]
    fn of_views() {
        let inputs = [random([4, 6, 10], 3.0), random([4, 6, 10], 3.0)];
        let op = |f: fn(Tensor<3>, Tensor<3>) -> Tensor<3>| {
            move |[a, b]: [Tensor<3>; 2]| {
                f(
                    a.swap_dims(0, 2).narrow(0, 1, 4),
                    b.narrow(2, 3, 4).swap_dims(0, 2),
                )
            }
        };
        assert_fused(inputs, op(swiglu), op(plain));
    }

    #[test]
    fn one_tracked_input_gets_a_gradient_alone() {
        let (a, b) = (random([2, 3, 5], 1.0), random([2, 3, 5], 1.0));
        assert_fused(
            [a.clone()],
            |[a]| swiglu(a, b.clone()),
            |[a]| plain(a, b.clone()),
        );
        assert_fused([b], |[b]| swiglu(a.clone(), b), |[b]| plain(a.clone(), b));
    }

    #[test]
    fn finite_differences() {
        let inputs = [random([2, 3, 5], 1.0), random([2, 3, 5], 1.0)];
        assert_finite_differences(&inputs, |[gate, up]| swiglu(gate, up));
    }

    #[test]
    fn far_from_zero() {
        let device = Device::default();
        let gate = Tensor::<3>::from_floats([[[-1e30, -200.0, 200.0, 1e30]]], &device);
        let output = swiglu(gate, Tensor::ones([1, 1, 4], &device));
        let expected = Tensor::<3>::from_floats([[[0.0, 0.0, 200.0, 1e30]]], &device);
        assert_eq!(output.abs().into_data(), expected.into_data());
    }
}
