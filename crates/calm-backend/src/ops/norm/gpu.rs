//! RMSNorm and LayerNorm on GPUs: a cube for each row, and one for each part of a column in the
//! gradient of the weight.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Cube, TensorMetadata, backend_extension};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use crate::ops::gpu::{
    GpuTensor, Reduction, UNITS, cubes, empty, like, over_cube, rows_and_width, storage,
};
use crate::ops::operation::BackwardState;

/// Rows that one thread of the gradient of the weight adds up.
const PART: usize = 64;

/// Statistics of a row: its mean, or 0 if it is not subtracted, and its inverse root mean square.
const STATISTICS: usize = 2;

/// The inputs, and the statistics of each row.
#[derive(Debug, Clone)]
struct Inputs {
    x: GpuTensor,
    weight: GpuTensor,
    /// `[rows, 2]`.
    statistics: GpuTensor,
    /// Whether the mean is subtracted.
    centred: bool,
}

pub(crate) fn rms_norm(
    x: GpuTensor,
    weight: GpuTensor,
    epsilon: f32,
    _: [bool; 2],
) -> (GpuTensor, impl BackwardState<Cube, 2>) {
    // A weight stands in for the bias, which is not read.
    forward(x, weight.clone(), weight, epsilon, false)
}

pub(crate) fn layer_norm(
    x: GpuTensor,
    weight: GpuTensor,
    bias: GpuTensor,
    epsilon: f32,
    _: [bool; 3],
) -> (GpuTensor, impl BackwardState<Cube, 3>) {
    forward(x, weight, bias, epsilon, true)
}

fn forward(
    x: GpuTensor,
    weight: GpuTensor,
    bias: GpuTensor,
    epsilon: f32,
    centred: bool,
) -> (GpuTensor, Inputs) {
    let (output, statistics) =
        Cube::norm_forward(x.clone(), weight.clone(), bias, epsilon, centred);
    let inputs = Inputs {
        x,
        weight,
        statistics,
        centred,
    };
    (output, inputs)
}

impl Inputs {
    fn x_gradient(&self, output: &GpuTensor) -> GpuTensor {
        let Self {
            x,
            weight,
            statistics,
            ..
        } = self.clone();
        Cube::norm_x_gradient(x, weight, statistics, output.clone(), self.centred)
    }

    fn weight_gradient(&self, output: &GpuTensor) -> GpuTensor {
        let (x, statistics) = (self.x.clone(), self.statistics.clone());
        self.sum_of_rows(Cube::norm_weight_gradient(x, statistics, output.clone()))
    }

    fn bias_gradient(&self, output: &GpuTensor) -> GpuTensor {
        let rows = Shape::new(rows_and_width(&output.shape()));
        let output = Cube::float_cast(output.clone(), DType::F32.into());
        self.sum_of_rows(Cube::float_reshape(output, rows))
    }

    /// In the shape and type of the weight.
    fn sum_of_rows(&self, rows: GpuTensor) -> GpuTensor {
        let sum = Cube::float_reshape(Cube::float_sum_dim(rows, 0), self.weight.shape());
        Cube::float_cast(sum, self.weight.dtype().into())
    }
}

impl BackwardState<Cube, 2> for Inputs {
    fn backward(
        self,
        gradient: GpuTensor,
        [needs_x, needs_weight]: [bool; 2],
    ) -> [Option<GpuTensor>; 2] {
        let weight = needs_weight.then(|| self.weight_gradient(&gradient));
        let x = needs_x.then(|| self.x_gradient(&gradient));
        [x, weight]
    }
}

impl BackwardState<Cube, 3> for Inputs {
    fn backward(
        self,
        gradient: GpuTensor,
        [needs_x, needs_weight, needs_bias]: [bool; 3],
    ) -> [Option<GpuTensor>; 3] {
        let bias = needs_bias.then(|| self.bias_gradient(&gradient));
        let [x, weight] =
            BackwardState::<Cube, 2>::backward(self, gradient, [needs_x, needs_weight]);
        [x, weight, bias]
    }
}

fn statistics(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(statistics_shape(&x.shape), DType::F32)
}

fn statistics_shape(shape: &Shape) -> Shape {
    Shape::new([rows_and_width(shape)[0], STATISTICS])
}

fn partial_sums(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(partial_shape(&x.shape), DType::F32)
}

fn partial_shape(shape: &Shape) -> Shape {
    let [rows, width] = rows_and_width(shape);
    Shape::new([rows.div_ceil(PART), width])
}

/// The launches, each an operation of kernel fusion.
#[backend_extension(Cube, Fusion)]
trait Kernels: Backend {
    /// LayerNorm, or RMSNorm if not `centred`, which reads no bias. Returns the output and the
    /// statistics of each row, `[rows, 2]`.
    #[fusion(meta = |x, _weight, _bias, _epsilon, _centred| (x.clone(), statistics(x)))]
    fn norm_forward(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
        centred: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(dtype = x, shape = x)]
    fn norm_x_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output: FloatTensor<Self>,
        centred: bool,
    ) -> FloatTensor<Self>;

    /// Summed over parts of the rows: `[parts, d_model]`, in `f32`.
    #[fusion(meta = |x, _statistics, _output| partial_sums(x))]
    fn norm_weight_gradient(
        x: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl Kernels for CubeBackend {
    fn norm_forward(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        epsilon: f32,
        centred: bool,
    ) -> (CubeTensor, CubeTensor) {
        let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
        let [rows, width] = rows_and_width(x.meta.shape());
        let vectors = [&weight, &bias].map(|vector| vector.meta.num_elements());
        assert_eq!(vectors, [width; 2], "a weight and a bias for each column");
        let output = like(&x);
        let statistics = empty(&x, statistics_shape(x.meta.shape()), DType::F32);
        let dtype = storage(&x);
        forward_kernel::launch(
            &output.client,
            cubes(rows),
            CubeDim::new_1d(UNITS),
            x.into_tensor_arg(),
            weight.into_tensor_arg(),
            bias.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            statistics.clone().into_tensor_arg(),
            epsilon,
            centred,
            dtype,
        );
        (output, statistics)
    }

    fn norm_x_gradient(
        x: CubeTensor,
        weight: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
        centred: bool,
    ) -> CubeTensor {
        let [x, weight, statistics, output] = [x, weight, statistics, output].map(into_contiguous);
        let [rows, _] = rows_and_width(x.meta.shape());
        let gradient = like(&x);
        let dtype = storage(&x);
        x_gradient_kernel::launch(
            &gradient.client,
            cubes(rows),
            CubeDim::new_1d(UNITS),
            x.into_tensor_arg(),
            weight.into_tensor_arg(),
            statistics.into_tensor_arg(),
            output.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            centred,
            dtype,
        );
        gradient
    }

    fn norm_weight_gradient(
        x: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
    ) -> CubeTensor {
        let [x, statistics, output] = [x, statistics, output].map(into_contiguous);
        let shape = partial_shape(x.meta.shape());
        let parts = shape[0] * shape[1].div_ceil(UNITS as usize);
        let gradient = empty(&x, shape, DType::F32);
        let dtype = storage(&x);
        weight_gradient_kernel::launch(
            &gradient.client,
            cubes(parts),
            CubeDim::new_1d(UNITS),
            x.into_tensor_arg(),
            statistics.into_tensor_arg(),
            output.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            dtype,
        );
        gradient
    }
}

#[cube(launch)]
fn forward_kernel<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    bias: &Tensor<F>,
    output: &mut Tensor<F>,
    statistics: &mut Tensor<f32>,
    epsilon: f32,
    #[comptime] centred: bool,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= statistics.shape(0) {
        terminate!();
    }
    let width = weight.len();
    let start = row * width;
    let mut mean = 0.0f32;
    if comptime!(centred) {
        let mut sum = 0.0f32;
        let mut column = UNIT_POS as usize;
        while column < width {
            sum += f32::cast_from(x[start + column]);
            column += CUBE_DIM as usize;
        }
        mean = over_cube(sum, Reduction::Sum) / width as f32;
    }
    let mut squares = 0.0f32;
    let mut column = UNIT_POS as usize;
    while column < width {
        let value = f32::cast_from(x[start + column]) - mean;
        squares += value * value;
        column += CUBE_DIM as usize;
    }
    let mean_square = over_cube(squares, Reduction::Sum) / width as f32;
    let factor = 1.0f32 / (mean_square + epsilon).sqrt();
    if UNIT_POS == 0 {
        statistics[row * comptime!(STATISTICS)] = mean;
        statistics[row * comptime!(STATISTICS) + 1] = factor;
    }
    let mut column = UNIT_POS as usize;
    while column < width {
        let normed = (f32::cast_from(x[start + column]) - mean) * factor;
        let mut value = normed * f32::cast_from(weight[column]);
        if comptime!(centred) {
            value += f32::cast_from(bias[column]);
        }
        output[start + column] = F::cast_from(value);
        column += CUBE_DIM as usize;
    }
}

/// With `g` the gradient times the weight, `n` the normed row and `f` its inverse root mean square,
/// the gradient of a row is `f · (g - n · mean(g · n))`, and `f · (g - mean(g) - n · mean(g · n))`
/// if centred.
#[cube(launch)]
fn x_gradient_kernel<F: Float>(
    x: &Tensor<F>,
    weight: &Tensor<F>,
    statistics: &Tensor<f32>,
    output: &Tensor<F>,
    gradient: &mut Tensor<F>,
    #[comptime] centred: bool,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= statistics.shape(0) {
        terminate!();
    }
    let width = weight.len();
    let start = row * width;
    let mean = statistics[row * comptime!(STATISTICS)];
    let factor = statistics[row * comptime!(STATISTICS) + 1];
    let mut products = 0.0f32;
    let mut sum = 0.0f32;
    let mut column = UNIT_POS as usize;
    while column < width {
        let along = f32::cast_from(output[start + column]) * f32::cast_from(weight[column]);
        products += along * (f32::cast_from(x[start + column]) - mean) * factor;
        sum += along;
        column += CUBE_DIM as usize;
    }
    let along_normed = over_cube(products, Reduction::Sum) / width as f32;
    let mut along_all = 0.0f32;
    if comptime!(centred) {
        along_all = over_cube(sum, Reduction::Sum) / width as f32;
    }
    let mut column = UNIT_POS as usize;
    while column < width {
        let along = f32::cast_from(output[start + column]) * f32::cast_from(weight[column]);
        let normed = (f32::cast_from(x[start + column]) - mean) * factor;
        let value = factor * (along - along_all - normed * along_normed);
        gradient[start + column] = F::cast_from(value);
        column += CUBE_DIM as usize;
    }
}

/// `Σ gradient · normed` over the rows of a part, a thread for each column.
#[cube(launch)]
fn weight_gradient_kernel<F: Float>(
    x: &Tensor<F>,
    statistics: &Tensor<f32>,
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
    let rows = statistics.shape(0);
    let mut row = part * comptime!(PART);
    let mut sum = 0.0f32;
    let mut left = comptime!(PART).runtime();
    while left > 0 && row < rows {
        let at = row * width + column;
        let mean = statistics[row * comptime!(STATISTICS)];
        let factor = statistics[row * comptime!(STATISTICS) + 1];
        sum += f32::cast_from(output[at]) * (f32::cast_from(x[at]) - mean) * factor;
        row += 1;
        left -= 1;
    }
    gradient[part * width + column] = sum;
}
