//! Cross-entropy on GPUs: a row of logits is read once each way.

use burn::backend::fusion::custom::TensorSpec;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Cube, backend_extension};
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

/// The logits, and for each row its target and the logarithm of its sum of exponentials.
#[derive(Debug, Clone)]
struct Rows {
    logits: GpuTensor,
    targets: IntTensor<Cube>,
    log_sums: GpuTensor,
}

pub(crate) fn forward(
    logits: GpuTensor,
    targets: IntTensor<Cube>,
    _: [bool; 1],
) -> (GpuTensor, impl BackwardState<Cube, 1>) {
    let (losses, log_sums) = Cube::cross_entropy_rows(logits.clone(), targets.clone());
    let rows = Rows {
        logits,
        targets,
        log_sums,
    };
    (Cube::float_sum(losses), rows)
}

impl BackwardState<Cube, 1> for Rows {
    fn backward(self, gradient: GpuTensor, [needs_logits]: [bool; 1]) -> [Option<GpuTensor>; 1] {
        let Self {
            logits,
            targets,
            log_sums,
        } = self;
        [needs_logits.then(|| Cube::cross_entropy_gradient(logits, targets, log_sums, gradient))]
    }
}

/// The launches, each an operation of kernel fusion.
#[backend_extension(Cube, Fusion)]
trait Kernels: Backend {
    /// The loss of each row, and the logarithm of its sum of exponentials: `[rows]`.
    #[fusion(meta = |logits, _targets| (rows_of(logits), rows_of(logits)))]
    fn cross_entropy_rows(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(dtype = logits, shape = logits)]
    fn cross_entropy_gradient(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        log_sums: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// One number in `f32` for each row of a tensor.
fn rows_of(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([rows_and_width(&x.shape)[0]]), DType::F32)
}

impl Kernels for CubeBackend {
    fn cross_entropy_rows(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
        let [logits, targets] = [logits, targets].map(into_contiguous);
        let [rows, _] = rows_and_width(logits.meta.shape());
        let [losses, log_sums] = [(); 2].map(|()| empty(&logits, Shape::new([rows]), DType::F32));
        let types = [storage(&logits), storage(&targets)];
        rows_kernel::launch(
            &losses.client,
            cubes(rows),
            CubeDim::new_1d(UNITS),
            logits.into_tensor_arg(),
            targets.into_tensor_arg(),
            losses.clone().into_tensor_arg(),
            log_sums.clone().into_tensor_arg(),
            types,
        );
        (losses, log_sums)
    }

    fn cross_entropy_gradient(
        logits: CubeTensor,
        targets: CubeTensor,
        log_sums: CubeTensor,
        output: CubeTensor,
    ) -> CubeTensor {
        let [logits, targets, log_sums, output] =
            [logits, targets, log_sums, output].map(into_contiguous);
        let [rows, _] = rows_and_width(logits.meta.shape());
        let gradient = like(&logits);
        let types = [storage(&logits), storage(&targets)];
        gradient_kernel::launch(
            &gradient.client,
            cubes(rows),
            CubeDim::new_1d(UNITS),
            logits.into_tensor_arg(),
            targets.into_tensor_arg(),
            log_sums.into_tensor_arg(),
            output.into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            types,
        );
        gradient
    }
}

/// A cube for each row. Each thread keeps the largest of its logits and the sum of exponentials
/// below it, and multiplies the sum whenever the largest grows.
#[cube(launch)]
fn rows_kernel<F: Float, I: Int>(
    logits: &Tensor<F>,
    targets: &Tensor<I>,
    losses: &mut Tensor<f32>,
    log_sums: &mut Tensor<f32>,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let row = CUBE_POS;
    if row >= losses.len() {
        terminate!();
    }
    let vocab = logits.shape(1);
    let start = row * vocab;
    let mut largest = f32::min_value();
    let mut sum = 0.0f32;
    let mut column = UNIT_POS as usize;
    while column < vocab {
        let logit = f32::cast_from(logits[start + column]);
        if logit > largest {
            sum *= (largest - logit).exp();
            largest = logit;
        }
        sum += (logit - largest).exp();
        column += CUBE_DIM as usize;
    }
    let of_all = over_cube(largest, Reduction::Max);
    let total = over_cube(sum * (largest - of_all).exp(), Reduction::Sum);
    if UNIT_POS == 0 {
        let log_sum = of_all + total.ln();
        let target = u32::cast_from(targets[row]) as usize;
        log_sums[row] = log_sum;
        losses[row] = log_sum - f32::cast_from(logits[start + target]);
    }
}

/// `output · (softmax(logits) - 1 at the target)`, `output` being the gradient of the loss.
#[cube(launch)]
fn gradient_kernel<F: Float, I: Int>(
    logits: &Tensor<F>,
    targets: &Tensor<I>,
    log_sums: &Tensor<f32>,
    output: &Tensor<f32>,
    gradient: &mut Tensor<F>,
    #[define(F, I)] _types: [ElemType; 2],
) {
    let row = CUBE_POS;
    if row >= log_sums.len() {
        terminate!();
    }
    let vocab = logits.shape(1);
    let start = row * vocab;
    let (factor, log_sum) = (output[0], log_sums[row]);
    let target = u32::cast_from(targets[row]) as usize;
    let mut column = UNIT_POS as usize;
    while column < vocab {
        let mut difference = (f32::cast_from(logits[start + column]) - log_sum).exp();
        if column == target {
            difference -= 1.0f32;
        }
        gradient[start + column] = F::cast_from(factor * difference);
        column += CUBE_DIM as usize;
    }
}
