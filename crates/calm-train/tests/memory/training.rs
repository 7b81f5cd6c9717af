//! Memory of training and decoding.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::Device;
use calm_compose::{Augmenting, Bridges, ComposedModel, FrozenParts};
use calm_data::{Batch, TokenizedExample};
use calm_models::{SequenceOptions, generate};
use calm_train::{Objective, TrainConfig, Trainer};

use crate::{MEMORY, turn, with_peak};

const WIDTH: usize = 256;
const VOCAB: usize = 32;

/// An anchor of four blocks that is read behind its first, so that every weight above it is in
/// the backward pass. Texts are so short that weights are almost all there is.
fn parts() -> FrozenParts {
    let decoder = |blocks, seed| calm_testing::llama(VOCAB, [WIDTH, blocks, 4], seed);
    let augmenting = Augmenting::new(decoder(2, 1), vec![[2, 1].into()]);
    FrozenParts {
        anchor: decoder(4, 0),
        augmenting: vec![augmenting],
    }
}

fn bridges(parts: &FrozenParts) -> Bridges {
    let device = Device::default().autodiff();
    Bridges::init(&parts.bridge_sets(4), 1, &device).unwrap()
}

fn batch() -> Batch {
    let example = TokenizedExample::new(vec![1, 5, 9, 3, 7, 2], 2);
    Batch::collate([(0, &example)], 0)
}

/// Most bytes that the backward pass takes, beyond those that the forward pass has left.
fn backward_bytes(parts: &FrozenParts, bridges: &Bridges) -> usize {
    let loss = parts.loss(bridges, &batch());
    with_peak(|| loss.backward()).1
}

#[test]
fn no_frozen_weight_has_a_gradient_buffer() {
    let _turn = turn();
    let frozen = parts();
    let mut trainable = frozen.clone();
    let device = Device::default().autodiff();
    trainable.anchor = trainable.anchor.fork(&device).train();
    let bridges = bridges(&frozen);
    // The first pass makes what stays, such as threads.
    backward_bytes(&frozen, &bridges);
    let [of_frozen, of_trainable] =
        [&frozen, &trainable].map(|parts| backward_bytes(parts, &bridges));

    let of_bridges = 4 * bridges.parameter_count();
    let of_anchor = 4 * frozen.anchor.num_params();
    // Less than the smallest of the anchor's matrices besides the gradients that are wanted.
    let smallest = 4 * WIDTH * WIDTH;
    assert!(
        of_frozen < of_bridges + smallest,
        "{of_frozen} {of_bridges} {smallest}"
    );
    // The same allocator sees those of an anchor that is trained, beside what is freed on the way.
    assert!(
        of_trainable > of_frozen + of_anchor / 2,
        "{of_trainable} {of_frozen} {of_anchor}"
    );
}

#[test]
fn memory_does_not_grow_with_steps_or_texts() {
    let _turn = turn();
    let parts = parts();
    let config = TrainConfig::default().with_steps(24);
    let mut trainer = Trainer::new(&parts, bridges(&parts), config, None).unwrap();
    let mut used = Vec::with_capacity(64);
    let batches = |_| Ok(batch());
    trainer
        .run(&batches, |_| {
            used.push(MEMORY.current_usage());
            ControlFlow::Continue(())
        })
        .unwrap();
    let slack = 64 << 10;
    let (third, last) = (used[2], used[23]);
    assert!(last < third + slack, "{used:?}");

    let bridges = trainer.into_parameters().valid();
    let model = ComposedModel { parts, bridges };
    let options = SequenceOptions::greedy(20, Vec::new());
    let used = (0..12).map(|text| {
        generate(&model, &[vec![1, text, 3]], &options).unwrap();
        MEMORY.current_usage()
    });
    let used: Vec<usize> = used.collect();
    assert!(used[11] < used[1] + slack, "{used:?}");
}
