//! The fused kernels of the processor.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::{BoolTensor, FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::attention::Scoring;
use super::extension::{Differentiable, FusedOps, Saved, UntrackedOps, record};
use super::gated::Activation;
use super::{AdamWStep, adamw, attention, cross_entropy, gated, linear, norm, rotary};

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
        scoring: Scoring,
    ) -> FlexTensor {
        attention::inference::forward(queries, keys, values, masked, scoring)
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, epsilon: f32) -> FlexTensor {
        norm::rms_forward(x, weight, epsilon).0
    }

    fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, epsilon: f32) -> FlexTensor {
        norm::layer_forward(x, weight, bias, epsilon).0
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
        scoring: Scoring,
    ) -> (FlexTensor, impl Saved<Self, 3>) {
        attention::fused::forward(queries, keys, values, masked, scoring)
    }

    fn rms_norm(
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, impl Saved<Self, 2>) {
        norm::rms_forward(x, weight, epsilon)
    }

    fn layer_norm(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, impl Saved<Self, 3>) {
        norm::layer_forward(x, weight, bias, epsilon)
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
    use super::super::kernel::tests::{ARCH, instruction_sets};
    use super::*;

    fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
        let x: Tensor<D> = check::random(shape, 1.0).to_device(&Device::flex());
        x.try_into_primitive::<Flex>().expect("on the processor")
    }

    fn zeros<const D: usize, K: burn::tensor::kind::Basic>(shape: [usize; D]) -> Tensor<D, K> {
        Tensor::zeros(shape, &Device::flex())
    }

    fn attention_of(seq: usize, cap: Option<f32>) -> (FlexTensor, attention::fused::Weighted) {
        let [queries, keys, values] = [[2, 4, seq, 6], [2, 2, seq, 6], [2, 2, seq, 6]].map(random);
        let masked = zeros::<4, Bool>([1, 1, 1, seq]).try_into_primitive::<Flex>();
        attention::fused::forward(
            queries,
            keys,
            values,
            masked.expect("on the processor"),
            Scoring { scale: 0.4, cap },
        )
    }

    fn cross_entropy_of(shape: [usize; 2]) -> (FlexTensor, cross_entropy::fused::Rows) {
        cross_entropy::fused::forward(random(shape), targets(shape[0]))
    }

    fn targets(count: usize) -> IntTensor<Flex> {
        let targets = zeros::<1, Int>([count]).try_into_primitive::<Flex>();
        targets.expect("on the processor")
    }

    #[test]
    fn no_gradient_is_computed_that_is_not_wanted() {
        let x = || random([2, 3, 4, 6]);
        for activation in [Activation::Silu, Activation::GeluTanh] {
            assert_only_wanted(gated::fused::forward(x(), x(), activation));
        }
        let vector = || random([6]);
        assert_only_wanted(norm::rms_forward(x(), vector(), 0.1));
        assert_only_wanted::<_, _, 3>(norm::layer_forward(x(), vector(), vector(), 0.1));
        let angle = || random([1, 1, 4, 3]);
        assert_only_wanted(rotary::fused::forward(x(), angle(), angle()));
        assert_only_wanted(linear::fused::forward(&x(), random([6, 5])));
        assert_only_wanted(attention_of(5, None));
        assert_only_wanted(attention_of(80, None));
        assert_only_wanted(attention_of(5, Some(2.0)));
        assert_only_wanted(cross_entropy_of([3, 5]));
    }

    /// Output and gradients of an operation, as bits.
    fn bits<S: Saved<Flex, N>, const N: usize>(
        operation: impl FnOnce() -> (FlexTensor, S),
        gradient: FlexTensor,
    ) -> Vec<u8> {
        let (output, saved) = operation();
        let gradients = saved.gradients(gradient, [true; N]);
        let all = gradients.into_iter().flatten().chain([output]);
        all.flat_map(|x| x.bytes().to_vec()).collect()
    }

    fn on_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads can be had").install(f)
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, weight, gradient) = (random([900, 100]), random([100]), random([900, 100]));
        let norm = || norm::rms_forward(x.clone(), weight.clone(), 0.1);
        let [one, three] =
            [1, 3].map(|threads| on_threads(threads, || bits(norm, gradient.clone())));
        assert_eq!(one, three);
        let (targets, gradient) = (targets(900), random([1]));
        let loss = || cross_entropy::fused::forward(x.clone(), targets.clone());
        let [one, three] =
            [1, 3].map(|threads| on_threads(threads, || bits(loss, gradient.clone())));
        assert_eq!(one, three);
    }

    /// What runs where nothing wider is known, up to the widest here.
    #[test]
    fn the_instruction_set_changes_no_bit() {
        let [x, y, by_x] = [(); 3].map(|()| random([2, 4, 37, 22]));
        let [weight, bias] = [(); 2].map(|()| random([22]));
        let [cos, sin] = [(); 2].map(|()| random([1, 1, 37, 11]));
        let (logits, targets, by_loss) = (random([70, 129]), targets(70), random([1]));
        let all = || {
            let (x, weight) = (|| x.clone(), || weight.clone());
            let gated = |activation| {
                let operation = || gated::fused::forward(x(), y.clone(), activation);
                bits(operation, by_x.clone())
            };
            let rms_norm = || norm::rms_forward(x(), weight(), 0.1);
            let layer_norm = || norm::layer_forward(x(), weight(), bias.clone(), 0.1);
            let rotary = || rotary::fused::forward(x(), cos.clone(), sin.clone());
            let loss = || cross_entropy::fused::forward(logits.clone(), targets.clone());
            [
                gated(Activation::Silu),
                gated(Activation::GeluTanh),
                bits(rms_norm, by_x.clone()),
                bits::<_, 3>(layer_norm, by_x.clone()),
                bits(rotary, by_x.clone()),
                bits(loss, by_loss.clone()),
            ]
        };
        let expected = on_threads(1, all);
        for arch in instruction_sets() {
            let found = on_threads(1, || {
                ARCH.set(Some(arch));
                all()
            });
            assert!(found == expected, "{arch:?}");
        }
    }

    /// Sums of more lanes are taken in another order.
    #[test]
    fn products_by_every_instruction_set() {
        for rows in [1, 2, 3, 5] {
            let (x, weight) = (random([rows, 530]), random([19, 530]));
            let layout = weight.layout().transpose(0, 1);
            let weight = weight.with_layout(layout);
            let product = || {
                let output = linear::fused::forward(&x, weight.clone()).0;
                Tensor::<2>::from_primitive::<Flex>(output)
            };
            for arch in instruction_sets() {
                let found = on_threads(1, || {
                    ARCH.set(Some(arch));
                    product()
                });
                check::assert_close(found, product());
            }
        }
    }
}
