//! Kernels of GPUs: skipped on machines without one.

use burn::backend::Cube;
use burn::tensor::{Bool, DType, Int, Tensor, Tolerance};

use super::*;
use crate::ops::attention::{self, Scoring, attention};
use crate::ops::gated::{self, Activation};
use crate::ops::gpu::{GpuTensor, MOST_CUBES};
use crate::ops::{
    cross_entropy, cross_entropy_sum, geglu_tanh, layer_norm, norm, plain, rms_norm, rotary, swiglu,
};

fn primitive<const D: usize>(shape: [usize; D]) -> GpuTensor {
    let x: Tensor<D> = random(shape, 1.0);
    x.try_into_primitive::<Cube>().expect("on a GPU")
}

#[test]
fn only_needed_gradients_are_computed() {
    let Some(device) = on_gpu() else { return };
    let x = || primitive([2, 3, 4, 6]);
    for activation in [Activation::Silu, Activation::GeluTanh] {
        assert_only_needed(|needs| gated::gpu::forward(x(), x(), activation, needs));
    }
    let vector = || primitive([6]);
    assert_only_needed(|needs| norm::gpu::rms_norm(x(), vector(), 0.1, needs));
    assert_only_needed(|needs| norm::gpu::layer_norm(x(), vector(), vector(), 0.1, needs));
    let angle = || primitive([1, 1, 4, 3]);
    assert_only_needed(|needs| rotary::gpu::forward(x(), angle(), angle(), needs));
    let masked = Tensor::<4, Bool>::zeros([1, 1, 1, 4], &device);
    let masked = || {
        masked
            .clone()
            .try_into_primitive::<Cube>()
            .expect("on a GPU")
    };
    let scoring = Scoring {
        scale: 0.4,
        cap: Some(2.0),
    };
    assert_only_needed(|needs| attention::gpu::forward(x(), x(), x(), masked(), scoring, needs));
    let targets = Tensor::<1, Int>::zeros([3], &device);
    let targets = || {
        targets
            .clone()
            .try_into_primitive::<Cube>()
            .expect("on a GPU")
    };
    let logits = || primitive([3, 5]);
    assert_only_needed(|needs| cross_entropy::gpu::forward(logits(), targets(), needs));
}

/// More rows than a grid has cubes along its first axis.
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

/// Results in half precision are rounded once, to 11 or 8 bits.
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

/// Attention in half precision rounds the operands of its products, and so its intermediate
/// results.
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
