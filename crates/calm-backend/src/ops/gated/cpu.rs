//! Gated linear units on the processor.

use std::iter::zip;

use burn::backend::Flex;

use super::{Activation, CUBIC, LINEAR};
use crate::ops::cpu::{FlexTensor, TASK_ELEMENTS, contiguous, exp, fill, run, with_shape_of};
use crate::ops::operation::BackwardState;

/// The inputs: computing the sigmoid again is cheaper than reading it from memory.
#[derive(Debug, Clone)]
struct Inputs {
    gate: FlexTensor,
    up: FlexTensor,
    activation: Activation,
}

pub(crate) fn forward(
    gate: FlexTensor,
    up: FlexTensor,
    activation: Activation,
    _: [bool; 2],
) -> (FlexTensor, impl BackwardState<Flex, 2>) {
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

impl BackwardState<Flex, 2> for Inputs {
    fn backward(self, gradient: FlexTensor, needs_grad: [bool; 2]) -> [Option<FlexTensor>; 2] {
        match self.activation {
            Activation::Silu => self.backward_along::<Identity>(gradient, needs_grad),
            Activation::GeluTanh => self.backward_along::<Cubic>(gradient, needs_grad),
        }
    }
}

impl Inputs {
    fn backward_along<C: Curve>(
        &self,
        gradient: FlexTensor,
        needs_grad: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let mut gradient = contiguous(gradient);
        let inputs = [self.gate.storage(), self.up.storage()];
        match needs_grad {
            [false, false] => [None, None],
            [true, false] => {
                replace(gradient.storage_mut(), inputs, gate_gradient::<C>);
                [Some(gradient), None]
            }
            [false, true] => {
                replace(gradient.storage_mut(), inputs, up_gradient::<C>);
                [None, Some(gradient)]
            }
            [true, true] => {
                let gate = both::<C>(gradient.storage_mut(), inputs);
                [Some(with_shape_of(&self.gate, gate)), Some(gradient)]
            }
        }
    }
}

/// The function whose sigmoid an activation multiplies by.
trait Curve {
    fn at(x: f32) -> f32;

    /// The derivative.
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

/// `gradient[i] = f(gradient[i], gate[i], up[i])`.
fn replace(gradient: &mut [f32], [gate, up]: [&[f32]; 2], f: impl Fn(f32, f32, f32) -> f32 + Sync) {
    let tasks = zip(
        gradient.chunks_mut(TASK_ELEMENTS),
        zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
    );
    run(
        gate.len(),
        tasks,
        #[inline(always)]
        |(gradient, (gate, up))| {
            for (gradient, (gate, up)) in zip(gradient, zip(gate, up)) {
                *gradient = f(*gradient, *gate, *up);
            }
        },
    );
}

/// Both gradients in one pass with one exponential: returns that of the gate, and replaces the
/// output's gradient by that of `up`.
fn both<C: Curve>(gradient: &mut [f32], [gate, up]: [&[f32]; 2]) -> Vec<f32> {
    let inputs = zip(
        gradient.chunks_mut(TASK_ELEMENTS),
        zip(gate.chunks(TASK_ELEMENTS), up.chunks(TASK_ELEMENTS)),
    );
    fill(
        gate.len(),
        TASK_ELEMENTS,
        inputs,
        #[inline(always)]
        |by_gate, (by_up, (gate, up))| {
            for ((by_gate, by_up), (gate, up)) in zip(zip(by_gate, by_up), zip(gate, up)) {
                let gradient = *by_up;
                *by_gate = gate_gradient::<C>(gradient, *gate, *up);
                *by_up = up_gradient::<C>(gradient, *gate, *up);
            }
        },
    )
}

#[inline(always)]
fn gate_gradient<C: Curve>(gradient: f32, gate: f32, up: f32) -> f32 {
    let sigmoid = sigmoid(C::at(gate));
    gradient * up * sigmoid * (1.0 + gate * (1.0 - sigmoid) * C::slope(gate))
}

#[inline(always)]
fn up_gradient<C: Curve>(gradient: f32, gate: f32, _: f32) -> f32 {
    gradient * gate * sigmoid(C::at(gate))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
