//! The fused kernels of the processor.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::extension::{Differentiable, FusedOps, Saved, UntrackedOps, record};
use super::gated::Activation;
use super::{AdamWStep, adamw, attention, cross_entropy, gated, layer_norm, linear, norm, rotary};

/// A tensor of the processor backend.
pub(super) type FlexTensor = FloatTensor<Flex>;

/// What the processor alone has a kernel for.
#[backend_extension(Flex, Autodiff)]
pub(super) trait ProcessorOps: Backend {
    /// `x · weight` in `f32`; the weight may be in half precision.
    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl ProcessorOps for Flex {
    fn product(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        linear::fused::forward(&x, weight).0
    }
}

impl<C: CheckpointStrategy> ProcessorOps for Autodiff<Flex, C> {
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
        record::<Flex, C, _, 2>([x_node, weight_node], (output, saved))
    }
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
    fn gated(gate: FlexTensor, up: FlexTensor, activation: Activation) -> FlexTensor {
        gated::fused::forward(gate, up, activation).0
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

    fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, epsilon: f32) -> FlexTensor {
        layer_norm::fused::forward(x, weight, bias, epsilon).0
    }

    fn rotary(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        rotary::fused::forward(x, cos, sin).0
    }

    fn cross_entropy_sum(logits: FlexTensor, targets: IntTensor<Self>) -> FlexTensor {
        cross_entropy::fused::forward(logits, targets).0
    }
}

impl Differentiable for Flex {
    fn gated(
        gate: FlexTensor,
        up: FlexTensor,
        activation: Activation,
    ) -> (FlexTensor, impl Saved<Self, 2>) {
        gated::fused::forward(gate, up, activation)
    }

    fn attention(
        [queries, keys, values]: [FlexTensor; 3],
        masked: BoolTensor<Self>,
        scale: f32,
    ) -> (FlexTensor, impl Saved<Self, 3>) {
        attention::fused::forward(queries, keys, values, masked, scale)
    }

    fn rms_norm(
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, impl Saved<Self, 2>) {
        norm::fused::forward(x, weight, epsilon)
    }

    fn layer_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, impl Saved<Self, 3>) {
        layer_norm::fused::forward(x, weight, bias, epsilon)
    }

    fn rotary(
        x: FlexTensor,
        cos: FlexTensor,
        sin: FlexTensor,
    ) -> (FlexTensor, impl Saved<Self, 1>) {
        rotary::fused::forward(x, cos, sin)
    }

    fn cross_entropy_sum(
        logits: FlexTensor,
        targets: IntTensor<Self>,
    ) -> (FlexTensor, impl Saved<Self, 1>) {
        cross_entropy::fused::forward(logits, targets)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Device, Int, Tensor};

    use super::super::check;
    use super::super::extension::assert_only_wanted;
    use super::*;

    fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
        let x: Tensor<D> = check::random(shape, 1.0).to_device(&Device::flex());
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
        for activation in [Activation::Silu, Activation::GeluTanh] {
            assert_only_wanted(gated::fused::forward(x(), x(), activation));
        }
        assert_only_wanted(norm::fused::forward(x(), random([6]), 0.1));
        let vector = || random([6]);
        assert_only_wanted(layer_norm::fused::forward(x(), vector(), vector(), 0.1));
        let angle = || random([1, 1, 4, 3]);
        assert_only_wanted(rotary::fused::forward(x(), angle(), angle()));
        assert_only_wanted(linear::fused::forward(&x(), random([6, 5])));
        assert_only_wanted(attention_of(5));
        assert_only_wanted(attention_of(80));
        assert_only_wanted(cross_entropy_of([3, 5]));
    }

    /// Output and gradients in a pool of so many threads, as bits.
    fn bits<S: Saved<Flex, N>, const N: usize>(
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
