//! Kernels of the processor: one result on any number of threads, and for each instruction set.

use burn::backend::Flex;
use burn::backend::tensor::IntTensor;
use burn::tensor::{Bool, Device, Int, Tensor};

use super::{assert_close, assert_only_needed};
use crate::ops::attention::{self, Scoring};
use crate::ops::cpu::FlexTensor;
use crate::ops::cpu::tasks::tests::{ARCH, instruction_sets};
use crate::ops::gated::{self, Activation};
use crate::ops::operation::BackwardState;
use crate::ops::{cross_entropy, linear, norm, rotary};

fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
    let x: Tensor<D> = super::random(shape, 1.0).to_device(&Device::flex());
    x.try_into_primitive::<Flex>().expect("on the processor")
}

fn zeros<const D: usize, K: burn::tensor::kind::Basic>(shape: [usize; D]) -> Tensor<D, K> {
    Tensor::zeros(shape, &Device::flex())
}

fn targets(count: usize) -> IntTensor<Flex> {
    let targets = zeros::<1, Int>([count]).try_into_primitive::<Flex>();
    targets.expect("on the processor")
}

#[test]
fn only_needed_gradients_are_computed() {
    let x = || random([2, 3, 4, 6]);
    for activation in [Activation::Silu, Activation::GeluTanh] {
        assert_only_needed(|needs| gated::cpu::forward(x(), x(), activation, needs));
    }
    let vector = || random([6]);
    assert_only_needed(|needs| norm::cpu::rms_norm(x(), vector(), 0.1, needs));
    assert_only_needed(|needs| norm::cpu::layer_norm(x(), vector(), vector(), 0.1, needs));
    let angle = || random([1, 1, 4, 3]);
    assert_only_needed(|needs| rotary::cpu::forward(x(), angle(), angle(), needs));
    assert_only_needed(|needs| linear::cpu::forward(x(), random([6, 5]), needs));
    for (seq, cap) in [(5, None), (80, None), (5, Some(2.0))] {
        assert_only_needed(|needs| {
            let shapes = [[2, 4, seq, 6], [2, 2, seq, 6], [2, 2, seq, 6]];
            let [queries, keys, values] = shapes.map(random);
            let masked = zeros::<4, Bool>([1, 1, 1, seq]).try_into_primitive::<Flex>();
            let masked = masked.expect("on the processor");
            let scoring = Scoring { scale: 0.4, cap };
            attention::cpu::forward(queries, keys, values, masked, scoring, needs)
        });
    }
    assert_only_needed(|needs| cross_entropy::cpu::forward(random([3, 5]), targets(3), needs));
}

/// Output and gradients of an operation, as bits.
fn bits<S: BackwardState<Flex, N>, const N: usize>(
    operation: impl FnOnce([bool; N]) -> (FlexTensor, S),
    gradient: FlexTensor,
) -> Vec<u8> {
    let (output, state) = operation([true; N]);
    let gradients = state.backward(gradient, [true; N]);
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
    let norm = |needs| norm::cpu::rms_norm(x.clone(), weight.clone(), 0.1, needs);
    let [one, three] = [1, 3].map(|threads| on_threads(threads, || bits(norm, gradient.clone())));
    assert_eq!(one, three);
    let (targets, gradient) = (targets(900), random([1]));
    let loss = |needs| cross_entropy::cpu::forward(x.clone(), targets.clone(), needs);
    let [one, three] = [1, 3].map(|threads| on_threads(threads, || bits(loss, gradient.clone())));
    assert_eq!(one, three);
}

/// From the narrowest instruction set to the widest of this processor.
#[test]
fn the_instruction_set_changes_no_bit() {
    let [x, y, by_x] = [(); 3].map(|()| random([2, 4, 37, 22]));
    let [weight, bias] = [(); 2].map(|()| random([22]));
    let [cos, sin] = [(); 2].map(|()| random([1, 1, 37, 11]));
    let (logits, targets, by_loss) = (random([70, 129]), targets(70), random([1]));
    let all = || {
        let (x, weight) = (|| x.clone(), || weight.clone());
        let gated = |activation| {
            let operation = |needs| gated::cpu::forward(x(), y.clone(), activation, needs);
            bits(operation, by_x.clone())
        };
        let rms_norm = |needs| norm::cpu::rms_norm(x(), weight(), 0.1, needs);
        let layer_norm = |needs| norm::cpu::layer_norm(x(), weight(), bias.clone(), 0.1, needs);
        let rotary = |needs| rotary::cpu::forward(x(), cos.clone(), sin.clone(), needs);
        let loss = |needs| cross_entropy::cpu::forward(logits.clone(), targets.clone(), needs);
        [
            gated(Activation::Silu),
            gated(Activation::GeluTanh),
            bits(rms_norm, by_x.clone()),
            bits(layer_norm, by_x.clone()),
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

/// Wider vectors sum in another order.
#[test]
fn products_by_every_instruction_set() {
    for rows in [1, 2, 3, 5] {
        let (x, weight) = (random([rows, 530]), random([19, 530]));
        let layout = weight.layout().transpose(0, 1);
        let weight = weight.with_layout(layout);
        let product = || {
            let output = linear::cpu::forward(x.clone(), weight.clone(), [false; 2]).0;
            Tensor::<2>::from_primitive::<Flex>(output)
        };
        for arch in instruction_sets() {
            let found = on_threads(1, || {
                ARCH.set(Some(arch));
                product()
            });
            assert_close(found, product());
        }
    }
}
