//! The fused kernels of GPUs, in CubeCL: compiled at run time for the device at hand.
//!
//! With kernel fusion an operation is put down first and runs later. So each launch is an
//! operation of its own, [`CubeKernels`], which says what it will return before it runs; what
//! differentiates them stands beside them, one operation a file.
//!
//! All kernels compute in `f32`, whatever type they read and write.

mod adamw;
mod cross_entropy;
mod gated;
mod norm;
mod rotary;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Backend, Cube, backend_extension};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::{self, ir::ElemType};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::AdamWStep;
use super::attention::{Scoring, recomputed};
use super::extension::{Differentiable, FusedOps, Saved, UntrackedOps};
use super::gated::Activation;

/// Every launch of a kernel. Gradients are named after what they are a gradient of.
#[backend_extension(Cube, Fusion)]
pub(super) trait CubeKernels: Backend {
    #[fusion(dtype = gate, shape = gate)]
    fn gated_forward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Of `gate` alone.
    #[fusion(dtype = gate, shape = gate)]
    fn gated_gate_gradient(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        output: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Of `gate` and `up` in one pass.
    #[fusion(meta = |gate, up, _output, _activation| (gate.clone(), up.clone()))]
    fn gated_gradients(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        output: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// LayerNorm, or RMSNorm if it is not `centred`, which reads no bias: the output, and what each
    /// row was normalised by, `[rows, 2]`.
    #[fusion(meta = |x, _weight, _bias, _epsilon, _centred| (x.clone(), norm::statistics(x)))]
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
    #[fusion(meta = |x, _statistics, _output| norm::partial_sums(x))]
    fn norm_weight_gradient(
        x: FloatTensor<Self>,
        statistics: FloatTensor<Self>,
        output: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Forwards (1) or back (-1).
    #[fusion(dtype = x, shape = x)]
    fn rotary_turn(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        direction: f32,
    ) -> FloatTensor<Self>;

    /// The loss of each row, and the logarithm of its sum of exponentials: `[rows]`.
    #[fusion(meta = |logits, _targets| (rows(logits), rows(logits)))]
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

    /// The parameter and its two moments.
    #[fusion(meta = |parameter, _gradient, first, second, _step|
        (parameter.clone(), first.clone(), second.clone()))]
    fn adamw_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// One number in `f32` for each row of a tensor.
fn rows(x: &TensorSpec) -> TensorSpec {
    TensorSpec::new(Shape::new([rows_and_width(&x.shape)[0]]), DType::F32)
}

/// All axes but the last as one, and the last.
fn rows_and_width(shape: &Shape) -> [usize; 2] {
    let width = shape[shape.num_dims() - 1];
    [shape.num_elements() / width, width]
}

impl CubeKernels for CubeBackend {
    fn gated_forward(gate: CubeTensor, up: CubeTensor, activation: Activation) -> CubeTensor {
        gated::forward(gate, up, activation)
    }

    fn gated_gate_gradient(
        gate: CubeTensor,
        up: CubeTensor,
        output: CubeTensor,
        activation: Activation,
    ) -> CubeTensor {
        gated::gate_gradient(gate, up, output, activation)
    }

    fn gated_gradients(
        gate: CubeTensor,
        up: CubeTensor,
        output: CubeTensor,
        activation: Activation,
    ) -> (CubeTensor, CubeTensor) {
        gated::gradients(gate, up, output, activation)
    }

    fn norm_forward(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        epsilon: f32,
        centred: bool,
    ) -> (CubeTensor, CubeTensor) {
        norm::forward(x, weight, bias, epsilon, centred)
    }

    fn norm_x_gradient(
        x: CubeTensor,
        weight: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
        centred: bool,
    ) -> CubeTensor {
        norm::x_gradient(x, weight, statistics, output, centred)
    }

    fn norm_weight_gradient(
        x: CubeTensor,
        statistics: CubeTensor,
        output: CubeTensor,
    ) -> CubeTensor {
        norm::weight_gradient(x, statistics, output)
    }

    fn rotary_turn(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, direction: f32) -> CubeTensor {
        rotary::turn(x, cos, sin, direction)
    }

    fn cross_entropy_rows(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
        cross_entropy::rows(logits, targets)
    }

    fn cross_entropy_gradient(
        logits: CubeTensor,
        targets: CubeTensor,
        log_sums: CubeTensor,
        output: CubeTensor,
    ) -> CubeTensor {
        cross_entropy::gradient(logits, targets, log_sums, output)
    }

    fn adamw_step(
        parameter: CubeTensor,
        gradient: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        step: AdamWStep,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        adamw::step(parameter, gradient, [first, second], step)
    }
}

type Float = FloatTensor<Cube>;

impl FusedOps for Cube {
    fn gated(gate: Float, up: Float, activation: Activation) -> Float {
        Self::gated_forward(gate, up, activation)
    }

    fn attention(
        queries: Float,
        keys: Float,
        values: Float,
        masked: BoolTensor<Self>,
        scoring: Scoring,
    ) -> Float {
        recomputed::forward::<Self>([queries, keys, values], masked, scoring).0
    }

    fn rms_norm(x: Float, weight: Float, epsilon: f32) -> Float {
        <Self as Differentiable>::rms_norm(x, weight, epsilon).0
    }

    fn layer_norm(x: Float, weight: Float, bias: Float, epsilon: f32) -> Float {
        <Self as Differentiable>::layer_norm(x, weight, bias, epsilon).0
    }

    fn rotary(x: Float, cos: Float, sin: Float) -> Float {
        Self::rotary_turn(x, cos, sin, 1.0)
    }

    fn cross_entropy_sum(logits: Float, targets: IntTensor<Self>) -> Float {
        <Self as Differentiable>::cross_entropy_sum(logits, targets).0
    }
}

impl UntrackedOps for Cube {
    fn adamw(
        parameter: Float,
        gradient: Float,
        first: Float,
        second: Float,
        step: AdamWStep,
    ) -> (Float, Float, Float) {
        Self::adamw_step(parameter, gradient, first, second, step)
    }
}

impl Differentiable for Cube {
    fn gated(gate: Float, up: Float, activation: Activation) -> (Float, impl Saved<Self, 2>) {
        let output = Self::gated_forward(gate.clone(), up.clone(), activation);
        let inputs = gated::Inputs {
            gate,
            up,
            activation,
        };
        (output, inputs)
    }

    fn attention(
        inputs: [Float; 3],
        masked: BoolTensor<Self>,
        scoring: Scoring,
    ) -> (Float, impl Saved<Self, 3>) {
        recomputed::forward::<Self>(inputs, masked, scoring)
    }

    fn rms_norm(x: Float, weight: Float, epsilon: f32) -> (Float, impl Saved<Self, 2>) {
        norm::recorded(x, weight.clone(), weight, epsilon, false)
    }

    fn layer_norm(
        x: Float,
        weight: Float,
        bias: Float,
        epsilon: f32,
    ) -> (Float, impl Saved<Self, 3>) {
        norm::recorded(x, weight, bias, epsilon, true)
    }

    fn rotary(x: Float, cos: Float, sin: Float) -> (Float, impl Saved<Self, 1>) {
        let output = Self::rotary_turn(x, cos.clone(), sin.clone(), 1.0);
        (output, rotary::Angles { cos, sin })
    }

    fn cross_entropy_sum(logits: Float, targets: IntTensor<Self>) -> (Float, impl Saved<Self, 1>) {
        cross_entropy::forward(logits, targets)
    }
}

/// Threads of a cube. Every device has so many, and a sum over them takes eight steps.
const UNITS: u32 = 256;

/// Most cubes along one axis that every device takes.
const MOST_CUBES: usize = 65535;

/// So many cubes at least; kernels have to skip the rest, which rounding adds.
fn cubes(count: usize) -> CubeCount {
    let along_x = count.min(MOST_CUBES);
    CubeCount::new_2d(along_x as u32, count.div_ceil(along_x) as u32)
}

/// Cubes with a thread for each element.
fn cubes_of_elements(count: usize) -> CubeCount {
    cubes(count.div_ceil(UNITS as usize))
}

/// A tensor in row-major order that nothing has been written to.
fn empty(like: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape, dtype)
}

fn like(x: &CubeTensor) -> CubeTensor {
    empty(x, x.meta.shape().clone(), x.dtype)
}

fn storage(x: &CubeTensor) -> ElemType {
    dtype_to_storage_type(x.dtype)
}

/// What becomes of the numbers that the threads of a cube have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reduction {
    Sum,
    Max,
}

/// The sum or the largest over all threads of a cube, told to each of them. All of them have to call
/// it.
#[cube]
fn over_cube(value: f32, #[comptime] reduction: Reduction) -> f32 {
    let mut parts = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    parts[unit] = value;
    sync_cube();
    let mut width = comptime!(UNITS as usize / 2).runtime();
    while width > 0 {
        if unit < width {
            let other = parts[unit + width];
            if comptime!(reduction == Reduction::Sum) {
                parts[unit] += other;
            } else if other > parts[unit] {
                parts[unit] = other;
            }
        }
        sync_cube();
        width /= 2;
    }
    let of_all = parts[0];
    // Or the next reduction would overwrite what others still have to read.
    sync_cube();
    of_all
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Int, Tensor, Tolerance};

    use super::super::check::{assert_fused, on_gpu, random};
    use super::super::extension::assert_only_wanted;
    use super::super::{
        attention, cross_entropy_sum, geglu_tanh, layer_norm, plain, rms_norm, rotary, swiglu,
    };
    use super::*;

    fn primitive<const D: usize>(shape: [usize; D]) -> Float {
        let x: Tensor<D> = random(shape, 1.0);
        x.try_into_primitive::<Cube>().expect("on a GPU")
    }

    #[test]
    fn no_gradient_is_computed_that_is_not_wanted() {
        let Some(device) = on_gpu() else { return };
        let x = || primitive([2, 3, 4, 6]);
        for activation in [Activation::Silu, Activation::GeluTanh] {
            assert_only_wanted(<Cube as Differentiable>::gated(x(), x(), activation));
        }
        let vector = || primitive([6]);
        assert_only_wanted(<Cube as Differentiable>::rms_norm(x(), vector(), 0.1));
        assert_only_wanted(<Cube as Differentiable>::layer_norm(
            x(),
            vector(),
            vector(),
            0.1,
        ));
        let angle = || primitive([1, 1, 4, 3]);
        assert_only_wanted(<Cube as Differentiable>::rotary(x(), angle(), angle()));
        let masked = Tensor::<4, Bool>::zeros([1, 1, 1, 4], &device);
        let masked = masked.try_into_primitive::<Cube>().expect("on a GPU");
        let inputs = [x(), x(), x()];
        let scoring = Scoring {
            scale: 0.4,
            cap: Some(2.0),
        };
        assert_only_wanted(<Cube as Differentiable>::attention(inputs, masked, scoring));
        let targets = Tensor::<1, Int>::zeros([3], &device);
        let targets = targets.try_into_primitive::<Cube>().expect("on a GPU");
        let logits = primitive([3, 5]);
        assert_only_wanted(<Cube as Differentiable>::cross_entropy_sum(logits, targets));
    }

    /// A grid has so many cubes along its first axis.
    #[test]
    fn more_rows_than_an_axis_has_cubes() {
        let Some(device) = on_gpu() else { return };
        let rows = MOST_CUBES + 70;
        let targets = Tensor::<1, Int>::ones([rows], &device);
        let weight = random([2], 1.0);
        assert_fused(
            [random([rows, 2], 1.0)],
            |[x]| rms_norm(x, weight.clone(), 0.1),
            |[x]| plain::rms_norm(x, weight.clone(), 0.1),
        );
        assert_fused(
            [random([rows, 2], 1.0)],
            |[x]| cross_entropy_sum(x, targets.clone()),
            |[x]| plain::cross_entropy_sum(x, targets.clone()),
        );
    }

    /// What is read and written in half precision is rounded once, to 11 or 8 bits.
    #[test]
    fn half_precision_is_rounded_at_the_end() {
        let Some(device) = on_gpu() else { return };
        for (dtype, unit) in [(DType::F16, 1e-3), (DType::BF16, 8e-3)] {
            // Devices through WGSL, for one, have no bf16.
            if !device.supports_dtype(dtype) {
                continue;
            }
            let half = |shape| random::<3>(shape, 1.0).cast(dtype);
            let wide = |x: &Tensor<3>| x.clone().cast(DType::F32);
            let assert_close = |found: Tensor<3>, expected: Tensor<3>| {
                assert_eq!(found.dtype(), dtype);
                found
                    .cast(DType::F32)
                    .into_data()
                    .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::rel_abs(unit, unit));
            };
            let [a, b] = [[2, 3, 40]; 2].map(half);
            assert_close(
                swiglu(a.clone(), b.clone()),
                plain::swiglu(wide(&a), wide(&b)),
            );
            assert_close(
                geglu_tanh(a.clone(), b.clone()),
                plain::geglu_tanh(wide(&a), wide(&b)),
            );
            let flat = |x: Tensor<3>| x.flatten::<1>(0, 2);
            let [weight, bias] = [(); 2].map(|()| half([1, 1, 40]));
            assert_close(
                rms_norm(a.clone(), flat(weight.clone()), 0.1),
                plain::rms_norm(wide(&a), flat(wide(&weight)), 0.1),
            );
            assert_close(
                layer_norm(a.clone(), flat(weight.clone()), flat(bias.clone()), 0.1),
                plain::layer_norm(wide(&a), flat(wide(&weight)), flat(wide(&bias)), 0.1),
            );
            let heads = |x: Tensor<3>| x.reshape([2, 3, 5, 8]);
            let [cos, sin] = [(); 2].map(|()| half([1, 5, 4]).unsqueeze::<4>());
            let wide_angles = [&cos, &sin].map(|x| x.clone().cast(DType::F32));
            assert_close(rotary(heads(a.clone()), cos, sin).reshape([2, 3, 40]), {
                let [cos, sin] = wide_angles;
                plain::rotary(heads(wide(&a)), cos, sin).reshape([2, 3, 40])
            });
            let targets = Tensor::<1, Int>::ones([6], &device);
            let loss = |x: Tensor<3>| cross_entropy_sum(x.reshape([6, 40]), targets.clone());
            let found: f32 = loss(a.clone()).into_scalar();
            let expected: f32 = loss(wide(&a)).into_scalar();
            assert!((found - expected).abs() < 1e-4 * expected);
        }
    }

    /// Products are of numbers in half precision, and so are what is rounded to that between two.
    #[test]
    fn attention_in_half_precision() {
        let Some(device) = on_gpu() else { return };
        for (dtype, unit) in [(DType::F16, 4e-3), (DType::BF16, 3e-2)] {
            if !device.supports_dtype(dtype) {
                continue;
            }
            let shapes = [[2, 4, 9, 8], [2, 2, 9, 8], [2, 2, 9, 8]];
            let half = shapes.map(|shape| random::<4>(shape, 1.0).cast(dtype));
            let wide = half.clone().map(|x| x.cast(DType::F32));
            let masked = Tensor::<2, Bool>::tril_mask([9, 9], 0, &device).unsqueeze_dims(&[0, 1]);
            let run = |inputs: [Tensor<4>; 3]| {
                let inputs = inputs.map(|x| x.autodiff().require_grad());
                let [queries, keys, values] = inputs.clone();
                let masked = Tensor::from_inner(masked.clone());
                let output = attention(queries, keys, values, Some(masked), 0.4);
                let gradients = output.clone().square().sum().backward();
                let gradients = inputs.map(|x| x.grad(&gradients).expect("it is tracked"));
                let all = gradients.into_iter().chain([output.inner()]);
                all.collect::<Vec<_>>()
            };
            for (found, expected) in std::iter::zip(run(half), run(wide)) {
                assert_eq!(found.dtype(), dtype);
                let error = found.cast(DType::F32) - expected.clone();
                let norm = |x: Tensor<4>| x.square().sum().sqrt().into_scalar::<f32>();
                let relative = norm(error) / norm(expected);
                assert!(relative < unit, "{dtype:?}: {relative}");
            }
        }
    }
}
