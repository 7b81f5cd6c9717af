//! Rotary position encoding: a thread for each pair, wherever it lies.

use burn::backend::Cube;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::untile;
use burn_cubecl::tensor::CubeTensor;

use super::super::extension::Saved;
use super::{CubeKernels, UNITS, cubes_of_elements, like, storage};

/// Cosines and sines: a turn is linear, so the inputs are not needed for its gradient.
#[derive(Debug, Clone)]
pub(super) struct Angles {
    pub(super) cos: FloatTensor<Cube>,
    pub(super) sin: FloatTensor<Cube>,
}

impl Saved<Cube, 1> for Angles {
    fn gradients(
        self,
        output: FloatTensor<Cube>,
        [wanted]: [bool; 1],
    ) -> [Option<FloatTensor<Cube>>; 1] {
        [wanted.then(|| Cube::rotary_turn(output, self.cos, self.sin, -1.0))]
    }
}

pub(super) fn turn(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, direction: f32) -> CubeTensor {
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
    // One table for all texts, or one for each.
    let table = batch % cos.shape(0);
    let cos = cos[table * cos.stride(0) + position * cos.stride(2) + pair * cos.stride(3)];
    let sin = sin[table * sin.stride(0) + position * sin.stride(2) + pair * sin.stride(3)];
    let (cos, sin) = (f32::cast_from(cos), f32::cast_from(sin) * direction);

    let start = row * 2 * half + pair;
    output[start] = F::cast_from(first * cos - second * sin);
    output[start + half] = F::cast_from(second * cos + first * sin);
}
