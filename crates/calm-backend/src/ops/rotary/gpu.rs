//! Rotary position encoding on GPUs: a thread for each pair, with any strides.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::untile;
use burn_cubecl::tensor::CubeTensor;

use crate::ops::gpu::{GpuTensor, UNITS, cubes_of_elements, like, storage};
use crate::ops::operation::BackwardState;

/// Cosines and sines. A rotation is linear: its gradient does not depend on the input.
#[derive(Debug, Clone)]
struct Angles {
    cos: GpuTensor,
    sin: GpuTensor,
}

pub(crate) fn inference(x: GpuTensor, cos: GpuTensor, sin: GpuTensor) -> GpuTensor {
    Cube::rotary_turn(x, cos, sin, 1.0)
}

pub(crate) fn forward(
    x: GpuTensor,
    cos: GpuTensor,
    sin: GpuTensor,
    _: [bool; 1],
) -> (GpuTensor, impl BackwardState<Cube, 1>) {
    let output = Cube::rotary_turn(x, cos.clone(), sin.clone(), 1.0);
    (output, Angles { cos, sin })
}

impl BackwardState<Cube, 1> for Angles {
    fn backward(self, gradient: GpuTensor, [needs_x]: [bool; 1]) -> [Option<GpuTensor>; 1] {
        [needs_x.then(|| Cube::rotary_turn(gradient, self.cos, self.sin, -1.0))]
    }
}

/// The launches, each an operation of kernel fusion.
#[backend_extension(Cube, Fusion)]
trait Kernels: Backend {
    /// Rotates forwards (`direction` 1) or back (-1).
    #[fusion(dtype = x, shape = x)]
    fn rotary_turn(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self>;
}

impl Kernels for CubeBackend {
    fn rotary_turn(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, direction: f32) -> CubeTensor {
        let [x, cos, sin] = [x, cos, sin].map(untile);
        let [width, half] = [&x, &cos].map(|tensor| tensor.meta.shape()[3]);
        assert_eq!(half * 2, width, "one angle for each pair");
        let output = like(&x);
        let types = [storage(&x), storage(&cos)];
        turn_kernel::launch(
            &output.client,
            cubes_of_elements(output.meta.num_elements() / 2),
            CubeDim::new_1d(UNITS),
            x.into_tensor_arg(),
            cos.into_tensor_arg(),
            sin.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            direction,
            types,
        );
        output
    }
}

#[cube(launch)]
fn turn_kernel<F: Float, A: Float>(
    x: &Tensor<F>,
    cos: &Tensor<A>,
    sin: &Tensor<A>,
    output: &mut Tensor<F>,
    direction: f32,
    #[define(F, A)] _types: [ElemType; 2],
) {
    let at = ABSOLUTE_POS;
    if at >= output.len() / 2 {
        terminate!();
    }
    let (heads, seq, half) = (x.shape(1), x.shape(2), x.shape(3) / 2);
    let (row, pair) = (at / half, at % half);
    let (head, position) = (row / seq, row % seq);
    let (batch, head) = (head / heads, head % heads);

    let first =
        batch * x.stride(0) + head * x.stride(1) + position * x.stride(2) + pair * x.stride(3);
    let second = first + half * x.stride(3);
    let (first, second) = (f32::cast_from(x[first]), f32::cast_from(x[second]));
    // One table for the whole batch, or one for each of its texts.
    let table = batch % cos.shape(0);
    let cos = cos[table * cos.stride(0) + position * cos.stride(2) + pair * cos.stride(3)];
    let sin = sin[table * sin.stride(0) + position * sin.stride(2) + pair * sin.stride(3)];
    let (cos, sin) = (f32::cast_from(cos), f32::cast_from(sin) * direction);

    let start = row * 2 * half + pair;
    output[start] = F::cast_from(first * cos - second * sin);
    output[start + half] = F::cast_from(second * cos + first * sin);
}
