//! Where the fused kernels enter Burn: traits for the backends that have them, and for autodiff.
//!
//! The kernels themselves stand beside the plain compositions that they replace, one operation a
//! file; how a backend uses them is told in [`processor`](super::processor) and
//! [`cube`](super::cube). Burn dispatches over the backends listed on a trait; on all others
//! [`fits`] is false and the plain composition runs.

use std::fmt::Debug;
use std::marker::PhantomData;

pub(super) use burn::backend::Dispatch;
#[cfg(feature = "gpu")]
use burn::backend::DispatchDevice;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, backend_extension};
use burn::tensor::{DType, Tensor};

use super::AdamWStep;
use super::attention::Scoring;
use super::gated::Activation;

/// Whether fused kernels take this tensor: in `f32`, where a backend has kernels.
pub(super) fn fits<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && (is_on_processor(x) || suits_cube(x))
}

/// As [`fits`], or in half precision on a backend whose kernels compute in `f32` all the same.
pub(super) fn fits_or_half<const D: usize>(x: &Tensor<D>) -> bool {
    fits(x) || matches!(x.dtype(), DType::F16 | DType::BF16) && suits_cube(x)
}

#[cfg(feature = "flex")]
pub(super) fn is_on_processor<const D: usize>(x: &Tensor<D>) -> bool {
    // Devices are compared without their autodiff.
    x.device() == burn::tensor::Device::flex()
}

#[cfg(not(feature = "flex"))]
fn is_on_processor<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// Whether the kernels for GPUs take a tensor of this size. They count elements in 32 bits, and
/// are not launched for nothing.
#[cfg(feature = "gpu")]
fn suits_cube<const D: usize>(x: &Tensor<D>) -> bool {
    let elements: usize = x.dims().iter().product();
    let device = x.device().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Cube(_))
        && (1..=u32::MAX as usize).contains(&elements)
}

#[cfg(not(feature = "gpu"))]
fn suits_cube<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// The operations in one pass each way. Shapes are those of the public functions of the same
/// names, except where it says otherwise.
#[backend_extension(Flex: cfg(feature = "flex"), Cube: cfg(feature = "gpu"), Autodiff)]
pub(super) trait FusedOps: Backend {
    /// `activation(gate) · up`.
    fn gated(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// `masked` has `seq_q` rows, or one for all.
    fn attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        masked: BoolTensor<Self>,
        scoring: Scoring,
    ) -> FloatTensor<Self>;

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32)
    -> FloatTensor<Self>;

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// No gradient flows to the angles.
    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn cross_entropy_sum(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

/// Operations that no gradient flows through.
#[backend_extension(Flex: cfg(feature = "flex"), Cube: cfg(feature = "gpu"))]
pub(super) trait UntrackedOps: Backend {
    /// The parameter and its two moments.
    fn adamw(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        step: AdamWStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// The operations of [`FusedOps`], each with what its backward pass needs. Its autodiff follows.
pub(super) trait Differentiable: Backend {
    fn gated(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> (FloatTensor<Self>, impl Saved<Self, 2>);

    fn attention(
        inputs: [FloatTensor<Self>; 3],
        masked: BoolTensor<Self>,
        scoring: Scoring,
    ) -> (FloatTensor<Self>, impl Saved<Self, 3>);

    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, impl Saved<Self, 2>);

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, impl Saved<Self, 3>);

    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, impl Saved<Self, 1>);

    fn cross_entropy_sum(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, impl Saved<Self, 1>);
}

impl<B: Differentiable, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
    fn gated(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        activation: Activation,
    ) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        record::<B, C, _, 2>([gate_node, up_node], B::gated(gate, up, activation))
    }

    fn attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        masked: BoolTensor<Self>,
        scoring: Scoring,
    ) -> FloatTensor<Self> {
        let (queries, queries_node) = queries.into_parts();
        let (keys, keys_node) = keys.into_parts();
        let (values, values_node) = values.into_parts();
        record::<B, C, _, 3>(
            [queries_node, keys_node, values_node],
            <B as Differentiable>::attention([queries, keys, values], masked, scoring),
        )
    }

    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        record::<B, C, _, 2>([x_node, weight_node], B::rms_norm(x, weight, epsilon))
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        record::<B, C, _, 3>(
            [x_node, weight_node, bias_node],
            <B as Differentiable>::layer_norm(x, weight, bias, epsilon),
        )
    }

    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        record::<B, C, _, 1>([x_node], B::rotary(x, cos, sin))
    }

    fn cross_entropy_sum(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        record::<B, C, _, 1>([node], B::cross_entropy_sum(logits, targets))
    }
}

/// What a fused operation keeps for its backward pass.
pub(super) trait Saved<B: Backend, const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of the `N` inputs, each computed only if it is wanted: frozen inputs are not.
    fn gradients(self, output: FloatTensor<B>, wanted: [bool; N]) -> [Option<FloatTensor<B>>; N];
}

/// The step of the autodiff graph for any fused operation.
#[derive(Debug)]
struct Step<S>(PhantomData<S>);

impl<B: Backend, S: Saved<B, N>, const N: usize> Backward<B, N> for Step<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let output = gradients.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let inputs = ops.state.gradients(output, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// The output of a fused operation as a step of the graph.
pub(super) fn record<B: Backend, C: CheckpointStrategy, S: Saved<B, N>, const N: usize>(
    inputs: [NodeGuard; N],
    (output, saved): (FloatTensor<B>, S),
) -> FloatTensor<Autodiff<B, C>> {
    #[cfg(test)]
    RECORDED.set(RECORDED.get() + 1);
    let step = Step(PhantomData::<S>);
    match Backward::<B, N>::prepare::<C>(step, inputs)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(step) => step.finish(saved, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

#[cfg(test)]
thread_local! {
    /// How often a fused operation took part in autodiff on this thread: tests ask whether the
    /// plain composition ran in its place.
    pub(super) static RECORDED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Asks an operation with `N` inputs for each subset of its gradients.
#[cfg(test)]
pub(super) fn assert_only_wanted<B: Backend, S: Saved<B, N>, const N: usize>(
    (output, saved): (FloatTensor<B>, S),
) {
    for subset in 0..1 << N {
        let wanted = std::array::from_fn(|input| subset >> input & 1 == 1);
        let gradients = saved.clone().gradients(output.clone(), wanted);
        assert_eq!(gradients.each_ref().map(Option::is_some), wanted);
    }
}
