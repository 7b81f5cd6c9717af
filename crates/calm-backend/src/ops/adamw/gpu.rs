//! A step of AdamW on GPUs: a thread for each element. Each tensor is overwritten in place unless
//! it is shared.

use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{AdamWStep, Kernels};
use crate::ops::gpu::{UNITS, cubes_of_elements};

impl Kernels for CubeBackend {
    fn adamw_step(
        parameter: CubeTensor,
        gradient: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        step: AdamWStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let gradient = into_contiguous(gradient);
        let [parameter, first, second] = [parameter, first, second].map(own);
        let ([beta_1, beta_2], [correction_1, correction_2]) = (step.betas, step.corrections());
        step_kernel::launch(
            &gradient.client.clone(),
            cubes_of_elements(gradient.meta.num_elements()),
            CubeDim::new_1d(UNITS),
            gradient.into_tensor_arg(),
            parameter.clone().into_tensor_arg(),
            first.clone().into_tensor_arg(),
            second.clone().into_tensor_arg(),
            beta_1,
            beta_2,
            correction_1,
            correction_2,
            step.epsilon,
            step.decay(),
            step.learning_rate as f32,
        );
        (parameter, first, second)
    }
}

/// The tensor in row-major order, writable.
fn own(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    if x.can_mut() { x } else { x.copy() }
}

/// Rounds at the places where the plain composition does.
#[cube(launch)]
fn step_kernel(
    gradient: &Tensor<f32>,
    parameter: &mut Tensor<f32>,
    first: &mut Tensor<f32>,
    second: &mut Tensor<f32>,
    beta_1: f32,
    beta_2: f32,
    correction_1: f32,
    correction_2: f32,
    epsilon: f32,
    decay: f32,
    rate: f32,
) {
    let at = ABSOLUTE_POS;
    if at >= gradient.len() {
        terminate!();
    }
    let gradient = gradient[at];
    let mean = first[at] * beta_1 + gradient * (1.0f32 - beta_1);
    let square = second[at] * beta_2 + gradient * gradient * (1.0f32 - beta_2);
    let root = (square / correction_2).sqrt() + epsilon;
    parameter[at] = parameter[at] * decay - mean / correction_1 / root * rate;
    first[at] = mean;
    second[at] = square;
}
