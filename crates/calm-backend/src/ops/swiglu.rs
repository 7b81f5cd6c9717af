//! The gate of the feed-forward layer.

use burn::tensor::{DType, Tensor, activation::silu};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

/// `silu(gate) · up`, element by element (arXiv 2002.05202).
///
/// # Shapes
///
/// - `gate`, `up`, output: `[batch, seq, d_ff]`
pub fn swiglu(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&gate)
        && fits_or_half(&up)
        && gate.dtype() == up.dtype()
        && gate.dims() == up.dims()
    {
        return Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch()));
    }
    plain(gate, up)
}

/// [`swiglu`] out of Burn's own operations, the SiLU in `f32`.
pub fn plain(gate: Tensor<3>, up: Tensor<3>) -> Tensor<3> {
    silu(gate.cast(DType::F32)).cast(up.dtype()) * up
}

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::fmt::Debug;
    use std::iter::zip;
    use std::marker::PhantomData;

    use burn::backend::Flex;

    use super::super::extension::Saved;
    use super::super::kernel::{TASK_ELEMENTS, contiguous, exp, fill, run, with_shape_of};
    use super::super::processor::FlexTensor;

    /// An activation of the form `x · sigmoid(curve(x))`.
    pub(in super::super) trait Curve:
        Debug + Clone + Send + Sync + 'static
    {
        fn at(x: f32) -> f32;

        /// Its derivative.
        fn slope(x: f32) -> f32;
    }

    /// The curve of SiLU.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Identity;

    impl Curve for Identity {
        #[inline(always)]
        fn at(x: f32) -> f32 {
            x
        }

        #[inline(always)]
        fn slope(_: f32) -> f32 {
            1.0
        }
    }

    /// The inputs; the sigmoid is cheaper to compute again than to read from memory.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Inputs<C> {
        gate: FlexTensor,
        up: FlexTensor,
        curve: PhantomData<C>,
    }

    /// `gate · sigmoid(curve(gate)) · up`.
    pub(in super::super) fn forward<C: Curve>(
        gate: FlexTensor,
        up: FlexTensor,
    ) -> (FlexTensor, Inputs<C>) {
        let inputs = Inputs {
            gate: contiguous(gate),
            up: contiguous(up),
            curve: PhantomData,
        };
        let (gate, up): (&[f32], &[f32]) = (inputs.gate.storage(), inputs.up.storage());
        let output = fill(
            gate.len(),
            TASK_ELEMENTS,
            zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
            #[inline(always)]
            |output, (gate, up)| {
                for (output, (gate, up)) in zip(output, zip(gate, up)) {
                    *output = gate * sigmoid(C::at(*gate)) * up;
                }
            },
        );
        (with_shape_of(&inputs.gate, output), inputs)
    }

    impl<C: Curve> Saved<Flex, 2> for Inputs<C> {
        fn gradients(self, output: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
            let mut output = contiguous(output);
            let inputs = [self.gate.storage(), self.up.storage()];
            match wanted {
                [false, false] => [None, None],
                [true, false] => {
                    map(output.storage_mut(), inputs, by_gate::<C>);
                    [Some(output), None]
                }
                [false, true] => {
                    map(output.storage_mut(), inputs, by_up::<C>);
                    [None, Some(output)]
                }
                [true, true] => {
                    let gate = both::<C>(output.storage_mut(), inputs);
                    [Some(with_shape_of(&self.gate, gate)), Some(output)]
                }
            }
        }
    }

    /// `into[i] = f(into[i], gate[i], up[i])`.
    fn map(into: &mut [f32], [gate, up]: [&[f32]; 2], f: impl Fn(f32, f32, f32) -> f32 + Sync) {
        let tasks = zip(
            into.chunks_mut(TASK_ELEMENTS),
            zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
        );
        run(
            gate.len(),
            tasks,
            #[inline(always)]
            |(into, (gate, up))| {
                for (into, (gate, up)) in zip(into, zip(gate, up)) {
                    *into = f(*into, *gate, *up);
                }
            },
        );
    }

    /// Both gradients in one pass, so that there is one exponential for the two: that of the gate is
    /// returned, that of `up` takes the place of the output's.
    fn both<C: Curve>(output: &mut [f32], [gate, up]: [&[f32]; 2]) -> Vec<f32> {
        let inputs = zip(
            output.chunks_mut(TASK_ELEMENTS),
            zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
        );
        fill(
            gate.len(),
            TASK_ELEMENTS,
            inputs,
            #[inline(always)]
            |by_gates, (by_ups, (gate, up))| {
                for ((at_gate, at_up), (gate, up)) in zip(zip(by_gates, by_ups), zip(gate, up)) {
                    let output = *at_up;
                    *at_gate = by_gate::<C>(output, *gate, *up);
                    *at_up = by_up::<C>(output, *gate, *up);
                }
            },
        )
    }

    #[inline(always)]
    fn by_gate<C: Curve>(output: f32, gate: f32, up: f32) -> f32 {
        let sigmoid = sigmoid(C::at(gate));
        output * up * sigmoid * (1.0 + gate * (1.0 - sigmoid) * C::slope(gate))
    }

    #[inline(always)]
    fn by_up<C: Curve>(output: f32, gate: f32, _up: f32) -> f32 {
        output * gate * sigmoid(C::at(gate))
    }

    #[inline(always)]
    fn sigmoid(x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }
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
