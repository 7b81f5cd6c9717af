//! RMSNorm: a cube for each row, and one for each part of a column in the gradient of the weight.

use burn::backend::Cube;
use burn::backend::TensorMetadata;
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::super::extension::Saved;
use super::{CubeKernels, UNITS, cubes, empty, rows_and_width, storage, sum_over_cube};

/// Rows that one thread of the gradient of the weight adds up.
const PART: usize = 64;

/// The inputs, and the inverse root mean square of each row.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) x: FloatTensor<Cube>,
    pub(super) weight: FloatTensor<Cube>,
    pub(super) factors: FloatTensor<Cube>,
}

impl Saved<Cube, 2> for Inputs {
    fn gradients(
        self,
        output: FloatTensor<Cube>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Cube>>; 2] {
        let Self { x, weight, factors } = self;
        let weight_gradient = wanted[1].then(|| {
            let (x, factors, output) = (x.clone(), factors.clone(), output.clone());
            let parts = Cube::rms_norm_weight_gradient(x, factors, output);
            let sum = Cube::float_reshape(Cube::float_sum_dim(parts, 0), weight.shape());
            Cube::float_cast(sum, weight.dtype().into())
        });
        let x_gradient = wanted[0].then(|| Cube::rms_norm_x_gradient(x, weight, factors, output));
        [x_gradient, weight_gradient]
    }
}

pub(super) fn partial_sums(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(partial_shape(&x.shape), DType::F32)
}

fn partial_shape(shape: &Shape) -> Shape {
    let [rows, width] = rows_and_width(shape);
    Shape::new([rows.div_ceil(PART), width])
}

pub(super) fn forward(x: CubeTensor, weight: CubeTensor, epsilon: f32) -> (CubeTensor, CubeTensor) {
    let [x, weight] = [x, weight].map(into_contiguous);
    let [rows, width] = rows_and_width(x.meta.shape());
    assert_eq!(
        width,
        weight.meta.num_elements(),
        "one weight for each column"
    );
    let output = empty(&x, x.meta.shape().clone(), x.dtype);
    let factors = empty(&x, Shape::new([rows]), DType::F32);
    let dtype = storage(&x);
    forward_kernel::launch(
        &output.client,
        cubes(rows),
        CubeDim::new_1d(UNITS),
        x.into_tensor_arg(),
        weight.into_tensor_arg(),
        output.clone().into_tensor_arg(),
        factors.clone().into_tensor_arg(),
        epsilon,
        dtype,
    );
    (output, factors)
}

pub(super) fn x_gradient(
    x: CubeTensor,
    weight: CubeTensor,
    factors: CubeTensor,
    output: CubeTensor,
) -> CubeTensor {
    let [x, weight, factors, output] = [x, weight, factors, output].map(into_contiguous);
    let [rows, _] = rows_and_width(x.meta.shape());
    let gradient = empty(&x, x.meta.shape().clone(), x.dtype);
    let dtype = storage(&x);
    x_gradient_kernel::launch(
        &gradient.client,
        cubes(rows),
        CubeDim::new_1d(UNITS),
        x.into_tensor_arg(),
        weight.into_tensor_arg(),
        factors.into_tensor_arg(),
        output.into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        dtype,
    );
    gradient
}

pub(super) fn weight_gradient(
    x: CubeTensor,
    factors: CubeTensor,
    output: CubeTensor,
) -> CubeTensor {
    let [x, factors, output] = [x, factors, output].map(into_contiguous);
    let shape = partial_shape(x.meta.shape());
    let parts = shape[0] * shape[1].div_ceil(UNITS as usize);
    let gradient = empty(&x, shape, DType::F32);
    let dtype = storage(&x);
    weight_gradient_kernel::launch(
        &gradient.client,
        cubes(parts),
        CubeDim::new_1d(UNITS),
        x.into_tensor_arg(),
        factors.into_tensor_arg(),
        output.into_tensor_arg(),
        gradient.clone().into_tensor_arg(),
        dtype,
    );
    gradient
}

#[cube(launch)]
fn forward_kernel<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    output: &mut Tensor<F>,
    factors: &mut Tensor<f32>,
    epsilon: f32,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= factors.len() {
        terminate!();
    }
    let width = weight.len();
    let start = row * width;
    let mut squares = 0.0f32;
    let mut column = UNIT_POS as usize;
    while column < width {
        let value = f32::cast_from(x[start + column]);
        squares += value * value;
        column += CUBE_DIM as usize;
    }
    let mean_square = sum_over_cube(squares) / width as f32;
    let factor = 1.0f32 / (mean_square + epsilon).sqrt();
    if UNIT_POS == 0 {
        factors[row] = factor;
    }
    let mut column = UNIT_POS as usize;
    while column < width {
        let normed = f32::cast_from(x[start + column]) * factor;
        output[start + column] = F::cast_from(normed * f32::cast_from(weight[column]));
        column += CUBE_DIM as usize;
    }
}

/// With `g` the gradient times the weight and `f` the inverse root mean square, the gradient of
/// a row is `f · (g - x · f² · mean(g · x))`.
#[cube(launch)]
fn x_gradient_kernel<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    factors: &Tensor<f32>,
    output: &Tensor<F>,
    gradient: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= factors.len() {
        terminate!();
    }
    let width = weight.len();
    let start = row * width;
    let mut products = 0.0f32;
    let mut column = UNIT_POS as usize;
    while column < width {
        let along = f32::cast_from(output[start + column]) * f32::cast_from(weight[column]);
        products += along * f32::cast_from(x[start + column]);
        column += CUBE_DIM as usize;
    }
    let factor = factors[row];
    let along_x = factor * factor * sum_over_cube(products) / width as f32;
    let mut column = UNIT_POS as usize;
    while column < width {
        let along = f32::cast_from(output[start + column]) * f32::cast_from(weight[column]);
        let value = factor * (along - f32::cast_from(x[start + column]) * along_x);
        gradient[start + column] = F::cast_from(value);
        column += CUBE_DIM as usize;
    }
}

/// `Σ gradient · x / rms(x)` over the rows of a part, a thread for each column.
#[cube(launch)]
fn weight_gradient_kernel<F: Float>(
    x: &Tensor<F>,
    factors: &Tensor<f32>,
    output: &Tensor<F>,
    gradient: &mut Tensor<f32>,
    #[define(F)] _dtype: ElemType,
) {
    let width = gradient.shape(1);
    let cubes_across = width.div_ceil(CUBE_DIM as usize);
    let part = CUBE_POS / cubes_across;
    let column = CUBE_POS % cubes_across * CUBE_DIM as usize + UNIT_POS as usize;
    if part >= gradient.shape(0) || column >= width {
        terminate!();
    }
    let rows = factors.len();
    let mut row = part * comptime!(PART);
    let mut sum = 0.0f32;
    let mut left = comptime!(PART).runtime();
    while left > 0 && row < rows {
        let at = row * width + column;
        sum += f32::cast_from(output[at]) * f32::cast_from(x[at]) * factors[row];
        row += 1;
        left -= 1;
    }
    gradient[part * width + column] = sum;
}
