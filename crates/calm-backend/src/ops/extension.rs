//! Where the fused kernels enter Burn: one trait, for the processor and for its autodiff.
//!
//! The kernels themselves stand beside the plain compositions that they replace, one operation a
//! file. Burn dispatches over the backends listed on the trait; on all others [`fits`] is false and
//! the plain composition runs.

use std::fmt::Debug;
use std::marker::PhantomData;

pub(super) use burn::backend::Dispatch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor};

use super::{AdamWStep, adamw, attention, cross_entropy, linear, norm, rotary, swiglu};

/// A tensor of the processor backend.
pub(super) type FlexTensor = FloatTensor<Flex>;

/// Whether the fused kernels take this tensor: on the processor, in `f32`.
pub(super) fn fits<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_on_processor(x)
}

pub(super) fn is_on_processor<const D: usize>(x: &Tensor<D>) -> bool {
    // Devices are compared without their autodiff.
    x.device() == Device::flex()
}

/// The operations in one pass each way. Shapes are those of the public functions of the same
/// names, except where it says otherwise.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOps: Backend {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `queries`: `[batch, kv_heads, group * seq_q, d_head]`, the query heads of a group being
    /// further rows; the output likewise. `masked` has `seq_q` rows, or one for all.
    fn attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        masked: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f32)
    -> FloatTensor<Self>;

    /// No gradient flows to the angles.
    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn cross_entropy_sum(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;

    /// `x · weight` in `f32`; the weight may be in half precision.
    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Operations that no gradient flows through.
#[backend_extension(Flex)]
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

impl UntrackedOps for Flex {
    fn adamw(
        parameter: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        step: AdamWStep,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        adamw::fused::step(parameter, gradient, [first, second], step)
    }
}

impl FusedOps for Flex {
    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        swiglu::fused::forward(gate, up).0
    }

    fn attention(
        queries: FlexTensor,
        keys: FlexTensor,
        values: FlexTensor,
        masked: BoolTensor<Self>,
        scale: f32,
    ) -> FlexTensor {
        attention::inference::forward(queries, keys, values, masked, scale)
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        norm::fused::forward(x, weight, epsilon).0
    }

    fn rotary(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        rotary::fused::forward(x, cos, sin).0
    }

    fn cross_entropy_sum(logits: FlexTensor, targets: IntTensor<Self>) -> FlexTensor {
        cross_entropy::fused::forward(logits, targets).0
    }

    fn product(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        linear::fused::forward(&x, weight).0
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        record::<C, _, 2>([gate_node, up_node], swiglu::fused::forward(gate, up))
    }

    fn attention(
        queries: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        masked: BoolTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let (queries, queries_node) = queries.into_parts();
        let (keys, keys_node) = keys.into_parts();
        let (values, values_node) = values.into_parts();
        record::<C, _, 3>(
            [queries_node, keys_node, values_node],
            attention::fused::forward(queries, keys, values, masked, scale),
        )
    }

    fn rms_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        record::<C, _, 2>(
            [x_node, weight_node],
            norm::fused::forward(x, weight, epsilon),
        )
    }

    fn rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let angles = (cos.into_primitive(), sin.into_primitive());
        record::<C, _, 1>([x_node], rotary::fused::forward(x, angles.0, angles.1))
    }

    fn cross_entropy_sum(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        record::<C, _, 1>([node], cross_entropy::fused::forward(logits, targets))
    }

    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let is_trained = weight.is_tracked();
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (output, inputs) = linear::fused::forward(&x, weight);
        let saved = if is_trained {
            inputs
        } else {
            inputs.with_frozen_weight()
        };
        record::<C, _, 2>([x_node, weight_node], (output, saved))
    }
}

/// What a fused operation keeps for its backward pass.
pub(super) trait Saved<const N: usize>: Clone + Debug + Send + 'static {
    /// The gradients of the `N` inputs, each computed only if it is wanted: frozen inputs are not.
    fn gradients(self, output: FlexTensor, wanted: [bool; N]) -> [Option<FlexTensor>; N];
}

/// The step of the autodiff graph for any fused operation.
#[derive(Debug)]
struct Step<S>(PhantomData<S>);

impl<S: Saved<N>, const N: usize> Backward<Flex, N> for Step<S> {
    type State = S;

    fn backward(self, ops: Ops<S, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let output = gradients.consume::<Flex>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let inputs = ops.state.gradients(output, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(inputs) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

fn record<C: CheckpointStrategy, S: Saved<N>, const N: usize>(
    inputs: [NodeGuard; N],
    (output, saved): (FlexTensor, S),
) -> FloatTensor<Autodiff<Flex, C>> {
    let step = Step(PhantomData::<S>);
    match step.prepare::<C>(inputs).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(saved, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Int};

    use super::super::check;
    use super::*;

    /// `N` inputs of an operation that keeps `saved`: each subset of gradients that may be wanted.
    fn assert_only_wanted<S: Saved<N>, const N: usize>((output, saved): (FlexTensor, S)) {
        for subset in 0..1 << N {
            let wanted = std::array::from_fn(|input| subset >> input & 1 == 1);
            let gradients = saved.clone().gradients(output.clone(), wanted);
            assert_eq!(gradients.each_ref().map(Option::is_some), wanted);
        }
    }

    fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
        let x: Tensor<D> = check::random(shape, 1.0);
        x.try_into_primitive::<Flex>().expect("on the processor")
    }

    fn zeros<const D: usize, K: burn::tensor::kind::Basic>(shape: [usize; D]) -> Tensor<D, K> {
        Tensor::zeros(shape, &Device::flex())
    }

    fn attention_of(seq: usize) -> (FlexTensor, attention::fused::Weighted) {
        let [queries, keys, values] = [[2, 4, seq, 6], [2, 2, seq, 6], [2, 2, seq, 6]].map(random);
        let masked = zeros::<4, Bool>([1, 1, 1, seq]).try_into_primitive::<Flex>();
        attention::fused::forward(
            queries,
            keys,
            values,
            masked.expect("on the processor"),
            0.4,
        )
    }

    fn cross_entropy_of(shape: [usize; 2]) -> (FlexTensor, cross_entropy::fused::Rows) {
        let targets = zeros::<1, Int>([shape[0]]).try_into_primitive::<Flex>();
        cross_entropy::fused::forward(random(shape), targets.expect("on the processor"))
    }

    #[test]
    fn no_gradient_is_computed_that_is_not_wanted() {
        let x = || random([2, 3, 4, 6]);
        assert_only_wanted(swiglu::fused::forward(x(), x()));
        assert_only_wanted(norm::fused::forward(x(), random([6]), 0.1));
        let angle = || random([1, 1, 4, 3]);
        assert_only_wanted(rotary::fused::forward(x(), angle(), angle()));
        assert_only_wanted(linear::fused::forward(&x(), random([6, 5])));
        assert_only_wanted(attention_of(5));
        assert_only_wanted(attention_of(80));
        assert_only_wanted(cross_entropy_of([3, 5]));
    }

    /// Output and gradients in a pool of so many threads, as bits.
    fn bits<S: Saved<N>, const N: usize>(
        threads: usize,
        operation: impl FnOnce() -> (FlexTensor, S) + Send,
        gradient: FlexTensor,
    ) -> Vec<u8> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads can be had").install(|| {
            let (output, saved) = operation();
            let gradients = saved.gradients(gradient, [true; N]);
            let all = gradients.into_iter().flatten().chain([output]);
            all.flat_map(|x| x.bytes().to_vec()).collect()
        })
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, weight) = (random([900, 100]), random([100]));
        let norm = || norm::fused::forward(x.clone(), weight.clone(), 0.1);
        let gradient = random([900, 100]);
        assert_eq!(bits(1, norm, gradient.clone()), bits(3, norm, gradient));
        let targets = zeros::<1, Int>([900]).try_into_primitive::<Flex>();
        let targets = targets.expect("on the processor");
        let loss = || cross_entropy::fused::forward(x.clone(), targets.clone());
        let gradient = random([1]);
        assert_eq!(bits(1, loss, gradient.clone()), bits(3, loss, gradient));
    }
}
