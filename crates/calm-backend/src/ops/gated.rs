//! Gated linear units, `activation(gate) · up`: what SwiGLU and GeGLU share.

use burn::tensor::Tensor;

use super::extension::{Dispatch, FusedOps, fits_or_half};

/// The activation of a gate, `x · sigmoid(curve(x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Activation {
    /// The curve is `x`.
    Silu,
    /// The curve is `2 √(2/π) · (x + 0.044715 x³)`, since `(1 + tanh(x)) / 2 = sigmoid(2 x)`.
    GeluTanh,
}

/// Of the curve of [`Activation::GeluTanh`], what `x` is multiplied by.
pub(super) const LINEAR: f32 =
    2.0 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2;

/// And what `x³` is.
pub(super) const CUBIC: f32 = 0.044_715 * LINEAR;

/// By a fused kernel, if there is one for these tensors.
pub(super) fn gated(gate: &Tensor<3>, up: &Tensor<3>, activation: Activation) -> Option<Tensor<3>> {
    let fits = fits_or_half(gate)
        && fits_or_half(up)
        && gate.dtype() == up.dtype()
        && gate.dims() == up.dims();
    fits.then(|| {
        let (gate, up) = (gate.clone().into_dispatch(), up.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::gated(gate, up, activation))
    })
}

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::iter::zip;

    use burn::backend::Flex;

    use super::super::extension::Saved;
    use super::super::kernel::{TASK_ELEMENTS, contiguous, exp, fill, run, with_shape_of};
    use super::super::processor::FlexTensor;
    use super::{Activation, CUBIC, LINEAR};

    /// The inputs; the sigmoid is cheaper to compute again than to read from memory.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Inputs {
        gate: FlexTensor,
        up: FlexTensor,
        activation: Activation,
    }

    pub(in super::super) fn forward(
        gate: FlexTensor,
        up: FlexTensor,
        activation: Activation,
    ) -> (FlexTensor, Inputs) {
        let (gate, up) = (contiguous(gate), contiguous(up));
        let inputs = [gate.storage(), up.storage()];
        let output = match activation {
            Activation::Silu => outputs::<Identity>(inputs),
            Activation::GeluTanh => outputs::<Cubic>(inputs),
        };
        let inputs = Inputs {
            gate,
            up,
            activation,
        };
        (with_shape_of(&inputs.gate, output), inputs)
    }

    impl Saved<Flex, 2> for Inputs {
        fn gradients(self, output: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
            match self.activation {
                Activation::Silu => self.gradients_along::<Identity>(output, wanted),
                Activation::GeluTanh => self.gradients_along::<Cubic>(output, wanted),
            }
        }
    }

    impl Inputs {
        fn gradients_along<C: Curve>(
            &self,
            output: FlexTensor,
            wanted: [bool; 2],
        ) -> [Option<FlexTensor>; 2] {
            let mut output = contiguous(output);
            let inputs = [self.gate.storage(), self.up.storage()];
            match wanted {
                [false, false] => [None, None],
                [true, false] => {
                    replace(output.storage_mut(), inputs, by_gate::<C>);
                    [Some(output), None]
                }
                [false, true] => {
                    replace(output.storage_mut(), inputs, by_up::<C>);
                    [None, Some(output)]
                }
                [true, true] => {
                    let gate = both::<C>(output.storage_mut(), inputs);
                    [Some(with_shape_of(&self.gate, gate)), Some(output)]
                }
            }
        }
    }

    /// What an activation takes the sigmoid of.
    trait Curve {
        fn at(x: f32) -> f32;

        /// Its derivative.
        fn slope(x: f32) -> f32;
    }

    struct Identity;

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

    struct Cubic;

    impl Curve for Cubic {
        #[inline(always)]
        fn at(x: f32) -> f32 {
            x * (LINEAR + CUBIC * x * x)
        }

        #[inline(always)]
        fn slope(x: f32) -> f32 {
            LINEAR + 3.0 * CUBIC * x * x
        }
    }

    fn outputs<C: Curve>([gate, up]: [&[f32]; 2]) -> Vec<f32> {
        fill(
            gate.len(),
            TASK_ELEMENTS,
            zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
            #[inline(always)]
            |output, (gate, up)| {
                for (output, (gate, up)) in zip(output, zip(gate, up)) {
                    *output = gate * sigmoid(C::at(*gate)) * up;
                }
            },
        )
    }

    /// `output[i] = f(output[i], gate[i], up[i])`.
    fn replace(
        output: &mut [f32],
        [gate, up]: [&[f32]; 2],
        f: impl Fn(f32, f32, f32) -> f32 + Sync,
    ) {
        let tasks = zip(
            output.chunks_mut(TASK_ELEMENTS),
            zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
        );
        run(
            gate.len(),
            tasks,
            #[inline(always)]
            |(output, (gate, up))| {
                for (output, (gate, up)) in zip(output, zip(gate, up)) {
                    *output = f(*output, *gate, *up);
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
