//! Gated linear units on GPUs: a thread for each element.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{Activation, CUBIC, LINEAR};
use crate::ops::gpu::{GpuTensor, UNITS, cubes_of_elements, like, storage};
use crate::ops::operation::BackwardState;

/// The inputs: computing the sigmoid again is cheaper than reading it from memory.
#[derive(Debug, Clone)]
struct Inputs {
    gate: GpuTensor,
    up: GpuTensor,
    activation: Activation,
}

pub(crate) fn inference(gate: GpuTensor, up: GpuTensor, activation: Activation) -> GpuTensor {
    Cube::gated_forward(gate, up, activation)
}

pub(crate) fn forward(
    gate: GpuTensor,
    up: GpuTensor,
    activation: Activation,
    _: [bool; 2],
) -> (GpuTensor, impl BackwardState<Cube, 2>) {
    let output = Cube::gated_forward(gate.clone(), up.clone(), activation);
    let inputs = Inputs {
        gate,
        up,
        activation,
    };
    (output, inputs)
}

impl BackwardState<Cube, 2> for Inputs {
    fn backward(self, gradient: GpuTensor, needs_grad: [bool; 2]) -> [Option<GpuTensor>; 2] {
        let Self {
            gate,
            up,
            activation,
        } = self;
        match needs_grad {
            [false, false] => [None, None],
            [true, false] => {
                let gate = Cube::gated_gate_gradient(gate, up, gradient, activation);
                [Some(gate), None]
            }
            // The gradient of `up` is the output with the gradient in the place of `up`.
            [false, true] => [None, Some(Cube::gated_forward(gate, gradient, activation))],
            [true, true] => {
                let (gate, up) = Cube::gated_gradients(gate, up, gradient, activation);
                [Some(gate), Some(up)]
            }
        }
    }
}

/// The launches, each an operation of kernel fusion.
#[backend_extension(Cube, Fusion)]
trait Kernels: Backend {
    #[fusion(dtype = gate, shape = gate)]
    fn gated_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The gradient of `gate` alone.
    #[fusion(dtype = gate, shape = gate)]
    fn gated_gate_gradient(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        output: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// The gradients of `gate` and `up` in one pass.
    #[fusion(meta = |gate, up, _output, _activation| (gate.clone(), up.clone()))]
    fn gated_gradients(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        output: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl Kernels for CubeBackend {
    fn gated_forward(gate: CubeTensor, up: CubeTensor, activation: Activation) -> CubeTensor {
        let [gate, up] = [gate, up].map(into_contiguous);
        let output = like(&gate);
        let dtype = storage(&gate);
        forward_kernel::launch(
            &output.client,
            cubes_of_elements(output.meta.num_elements()),
            CubeDim::new_1d(UNITS),
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            activation,
            dtype,
        );
        output
    }

    fn gated_gate_gradient(
        gate: CubeTensor,
        up: CubeTensor,
        output: CubeTensor,
        activation: Activation,
    ) -> CubeTensor {
        let [gate, up, output] = [gate, up, output].map(into_contiguous);
        let gradient = like(&gate);
        let dtype = storage(&gate);
        gate_gradient_kernel::launch(
            &gradient.client,
            cubes_of_elements(gradient.meta.num_elements()),
            CubeDim::new_1d(UNITS),
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            output.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            activation,
            dtype,
        );
        gradient
    }

    fn gated_gradients(
        gate: CubeTensor,
        up: CubeTensor,
        output: CubeTensor,
        activation: Activation,
    ) -> (CubeTensor, CubeTensor) {
        let [gate, up, output] = [gate, up, output].map(into_contiguous);
        let [gate_gradient, up_gradient] = [&gate, &up].map(like);
        let dtype = storage(&gate);
        gradients_kernel::launch(
            &gate_gradient.client,
            cubes_of_elements(gate_gradient.meta.num_elements()),
            CubeDim::new_1d(UNITS),
            gate.into_tensor_arg(),
            up.into_tensor_arg(),
            output.into_tensor_arg(),
            gate_gradient.clone().into_tensor_arg(),
            up_gradient.clone().into_tensor_arg(),
            activation,
            dtype,
        );
        (gate_gradient, up_gradient)
    }
}

#[cube(launch)]
fn forward_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &mut Tensor<F>,
    #[comptime] activation: Activation,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let (gate, up) = (f32::cast_from(gate[at]), f32::cast_from(up[at]));
    output[at] = F::cast_from(gate * share(gate, activation) * up);
}

#[cube(launch)]
fn gate_gradient_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &Tensor<F>,
    gradient: &mut Tensor<F>,
    #[comptime] activation: Activation,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let gate = f32::cast_from(gate[at]);
    let along = f32::cast_from(output[at]) * f32::cast_from(up[at]);
    gradient[at] = F::cast_from(along * slope(gate, share(gate, activation), activation));
}

#[cube(launch)]
fn gradients_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &Tensor<F>,
    gate_gradient: &mut Tensor<F>,
    up_gradient: &mut Tensor<F>,
    #[comptime] activation: Activation,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let (gate, output) = (f32::cast_from(gate[at]), f32::cast_from(output[at]));
    let share = share(gate, activation);
    let along = output * f32::cast_from(up[at]);
    gate_gradient[at] = F::cast_from(along * slope(gate, share, activation));
    up_gradient[at] = F::cast_from(output * gate * share);
}

/// `sigmoid(curve(x))`, the share of `x` that an activation lets through.
#[cube]
fn share(x: f32, #[comptime] activation: Activation) -> f32 {
    let mut curve = x;
    if comptime!(activation == Activation::GeluTanh) {
        curve *= LINEAR + CUBIC * x * x;
    }
    1.0f32 / (1.0f32 + (-curve).exp())
}

/// The derivative of `x · sigmoid(curve(x))`.
#[cube]
fn slope(x: f32, share: f32, #[comptime] activation: Activation) -> f32 {
    let mut of_curve = 1.0f32;
    if comptime!(activation == Activation::GeluTanh) {
        of_curve = LINEAR + 3.0f32 * CUBIC * x * x;
    }
    share * (1.0f32 + x * (1.0f32 - share) * of_curve)
}
