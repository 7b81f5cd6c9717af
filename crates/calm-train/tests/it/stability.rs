//! The first steps of bridges between models whose hidden states are as large models have them.

use std::ops::ControlFlow;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use calm_compose::{Augmenting, BridgeOptions, Bridges, FrozenParts};
use calm_data::{Batches, TokenizedExample};
use calm_models::{Decoder, DecoderConfig};
use calm_train::{Objective, StepMetrics, TrainConfig, Trainer, calibrate};

const STEPS: usize = 40;
const VOCAB: u32 = 24;

fn decoder([width, blocks]: [usize; 2], seed: u64) -> Decoder {
    let mut config = DecoderConfig::llama(VOCAB as usize, width, blocks, 2)
        .with_blocks(|block| block.norm.epsilon = 1e-12);
    config.final_norm.epsilon = 1e-12;
    config.head.tied = false;
    calm_testing::decoder(&config, seed)
}

/// Texts that begin with token 0, in which every word is followed by one other.
fn batches() -> Batches {
    let examples = (0..96u32).map(|number| {
        let words = (0..11).map(|place| 1 + (number * 5 + place * 7) % (VOCAB - 1));
        TokenizedExample::new(std::iter::once(0).chain(words).collect(), 2)
    });
    Batches::new(examples.collect(), 8, 0, 3)
}

fn parts(anchor: Decoder, augmenting: Decoder) -> FrozenParts {
    let connections = vec![[1, 1].into(), [2, 2].into(), [2, 3].into()];
    FrozenParts {
        anchor,
        augmenting: vec![Augmenting::new(augmenting, connections)],
    }
}

fn change<const D: usize>(
    parameter: &mut Param<Tensor<D>>,
    change: impl Fn(Tensor<D>) -> Tensor<D>,
) {
    *parameter = Param::from_tensor(change(parameter.val()));
}

/// The same function with hidden states that are so many times larger.
fn enlarged(mut decoder: Decoder, factor: f64) -> Decoder {
    change(&mut decoder.embedding.weight, |weight| weight * factor);
    for block in &mut decoder.blocks {
        change(&mut block.attention.output.weight, |weight| weight * factor);
        let feed_forward = block.feed_forward.as_mut().unwrap();
        change(&mut feed_forward.down.weight, |weight| weight * factor);
    }
    decoder
}

/// With a first position that is so many times larger than the others.
fn spiked(mut decoder: Decoder, factor: f64) -> Decoder {
    change(&mut decoder.embedding.weight, |weight| {
        let first = weight.clone().narrow(0, 0, 1) * factor;
        Tensor::cat(vec![first, weight.narrow(0, 1, VOCAB as usize - 1)], 0)
    });
    decoder
}

/// The steps of a run, and the anchor's own loss on the batch of each.
fn steps(parts: &FrozenParts, options: BridgeOptions) -> (Vec<StepMetrics>, Vec<f64>) {
    let batches = batches();
    let device = Device::default().autodiff();
    let fresh = Bridges::init(&parts.bridge_sets_with(2, options), 1, &device).unwrap();
    let own = (0..STEPS).map(|number| {
        let batch = batches.batch(number).unwrap();
        let loss: f32 = parts.loss(&fresh, &batch).into_scalar();
        f64::from(loss) / batch.target_tokens() as f64
    });
    let own = own.collect();
    let bridges = calibrate(parts, fresh, &batches.batch(0).unwrap()).unwrap();
    let config = TrainConfig {
        learning_rate: 3e-3,
        ..TrainConfig::default()
    };
    let config = config.with_steps(STEPS);
    let mut trainer = Trainer::new(parts, bridges, config, None).unwrap();
    let mut steps = Vec::new();
    let outcome = trainer.run(&|number| Ok(batches.batch(number)?), |metrics| {
        steps.push(metrics.clone());
        ControlFlow::Continue(())
    });
    outcome.unwrap();
    (steps, own)
}

/// The largest gradient norm over the median one.
fn unevenness(steps: &[StepMetrics]) -> f64 {
    let mut norms: Vec<f64> = steps.iter().map(|step| step.gradient_norm).collect();
    norms.sort_by(f64::total_cmp);
    norms[norms.len() - 1] / norms[norms.len() / 2]
}

/// Mean loss of the last ten steps over the anchor's own.
fn reached(steps: &[StepMetrics], own: &[f64]) -> f64 {
    let last = STEPS - 10..STEPS;
    let loss: f64 = last.clone().map(|step| f64::from(steps[step].loss)).sum();
    loss / own[last].iter().sum::<f64>()
}

#[test]
fn the_size_of_hidden_states_does_not_matter() {
    let losses = |factor: f64, options| {
        let anchor = enlarged(decoder([16, 3], 0), factor);
        let augmenting = enlarged(decoder([8, 2], 1), factor);
        let (steps, own) = steps(&parts(anchor, augmenting), options);
        assert!(
            steps
                .iter()
                .zip(&own)
                .all(|(step, own)| f64::from(step.loss) < 1.3 * own)
        );
        steps.iter().map(|step| step.loss).collect::<Vec<_>>()
    };
    let farthest = |options: BridgeOptions| {
        let [small, large] = [64.0, 65536.0].map(|factor| losses(factor, options));
        let differences = small.iter().zip(&large).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f32::max)
    };
    let default = farthest(BridgeOptions::default());
    assert!(default < 1e-3, "{default}");
    let paper = farthest(BridgeOptions::paper());
    assert!(
        paper > 1e-2,
        "the paper's bridge would be found out: {paper}"
    );
}

#[test]
fn a_position_that_is_a_hundred_times_larger_does_not_rule() {
    let run = |options| {
        let parts = parts(
            spiked(decoder([16, 3], 0), 100.0),
            spiked(decoder([8, 2], 1), 100.0),
        );
        let (steps, own) = steps(&parts, options);
        (unevenness(&steps), reached(&steps, &own))
    };
    let (uneven, reached) = run(BridgeOptions::default());
    let (paper_uneven, paper_reached) = run(BridgeOptions::paper());
    let found =
        format!("default: {uneven:.1}, {reached:.3}; paper: {paper_uneven:.1}, {paper_reached:.3}");
    assert!(uneven < 10.0 && reached < 0.9, "{found}");
    assert!(paper_reached > reached + 0.05, "{found}");
}
