//! SwiGLU: a thread for each element.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::super::extension::Saved;
use super::{CubeKernels, UNITS, cubes_of_elements, empty, storage};

/// The inputs; the sigmoid is cheaper to compute again than to read from memory.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) gate: FloatTensor<Cube>,
    pub(super) up: FloatTensor<Cube>,
}

impl Saved<Cube, 2> for Inputs {
    fn gradients(
        self,
        output: FloatTensor<Cube>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Cube>>; 2] {
        let Self { gate, up } = self;
        match wanted {
            [false, false] => [None, None],
            [true, false] => [Some(Cube::swiglu_gate_gradient(gate, up, output)), None],
            [false, true] => [None, Some(Cube::swiglu_up_gradient(gate, output))],
            [true, true] => {
                let (gate, up) = Cube::swiglu_gradients(gate, up, output);
                [Some(gate), Some(up)]
            }
        }
    }
}

pub(super) fn forward(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let [gate, up] = [gate, up].map(into_contiguous);
    let output = like(&gate);
    let (cubes, dtype) = (
        cubes_of_elements(output.meta.num_elements()),
        storage(&gate),
    );
    forward_kernel::launch(
        &output.client,
        cubes,
        CubeDim::new_1d(UNITS),
        gate.into_tensor_arg(),
        up.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        dtype,
    );
    output
}

pub(super) fn gate_gradient(gate: CubeTensor, up: CubeTensor, output: CubeTensor) -> CubeTensor {
    let [gate, up, output] = [gate, up, output].map(into_contiguous);
    let gradient = like(&gate);
    let (cubes, dtype) = (
        cubes_of_elements(output.meta.num_elements()),
        storage(&gate),
    );
    gate_gradient_kernel::launch(
        &gradient.client,
        cubes,
        CubeDim::new_1d(UNITS),
        gate.into_tensor_arg(),
        up.into_tensor_arg(),
        output.into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        dtype,
    );
    gradient
}

/// It is the output with the gradient in the place of `up`.
pub(super) fn up_gradient(gate: CubeTensor, output: CubeTensor) -> CubeTensor {
    forward(gate, output)
}

pub(super) fn gradients(
    gate: CubeTensor,
    up: CubeTensor,
    output: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let [gate, up, output] = [gate, up, output].map(into_contiguous);
    let [gate_gradient, up_gradient] = [&gate, &up].map(like);
    let (cubes, dtype) = (
        cubes_of_elements(output.meta.num_elements()),
        storage(&gate),
    );
    gradients_kernel::launch(
        &gate_gradient.client,
        cubes,
        CubeDim::new_1d(UNITS),
        gate.into_tensor_arg(),
        up.into_tensor_arg(),
        output.into_tensor_arg(),
        gate_gradient.clone().into_tensor_arg(),
        up_gradient.clone().into_tensor_arg(),
        dtype,
    );
    (gate_gradient, up_gradient)
}

fn like(x: &CubeTensor) -> CubeTensor {
    empty(x, x.meta.shape().clone(), x.dtype)
}

#[cube(launch)]
fn forward_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let (gate, up) = (f32::cast_from(gate[at]), f32::cast_from(up[at]));
    output[at] = F::cast_from(gate * sigmoid(gate) * up);
}

#[cube(launch)]
fn gate_gradient_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &Tensor<F>,
    gradient: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let gate = f32::cast_from(gate[at]);
    let along = f32::cast_from(output[at]) * f32::cast_from(up[at]);
    gradient[at] = F::cast_from(along * silu_slope(gate, sigmoid(gate)));
}

#[cube(launch)]
fn gradients_kernel<F: Float>(
    gate: &Tensor<F>,
    up: &Tensor<F>,
    output: &Tensor<F>,
    gate_gradient: &mut Tensor<F>,
    up_gradient: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() {
        terminate!();
    }
    let (gate, output) = (f32::cast_from(gate[at]), f32::cast_from(output[at]));
    let sigmoid = sigmoid(gate);
    let along = output * f32::cast_from(up[at]);
    gate_gradient[at] = F::cast_from(along * silu_slope(gate, sigmoid));
    up_gradient[at] = F::cast_from(output * gate * sigmoid);
}

#[cube]
fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (-x).exp())
}

/// The derivative of `x · sigmoid(x)`.
#[cube]
fn silu_slope(x: f32, sigmoid: f32) -> f32 {
    sigmoid * (1.0f32 + x * (1.0f32 - sigmoid))
}
