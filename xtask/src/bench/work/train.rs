//! Single steps of training, with a loss on every token and nothing kept from one to the next.

use std::iter::zip;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::compose::Overhead;
use calm_lm::data::{Batch, TokenizedExample};
use calm_lm::train::{LanguageModelling, Objective, TrainConfig, Trainer};
use miette::{IntoDiagnostic, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{MeasureArgs, Measured, median, random_ids, untrained_bridges};

/// The first steps reserve memory.
const UNTIMED_STEPS: usize = 2;

/// Steps of the bridges between frozen models.
pub(super) fn bridges(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let parts = args.frozen_parts(device)?;
    let bridges = untrained_bridges(&parts, &device.clone().autodiff())?;
    let config = parts.anchor.config();
    let sets = parts.bridge_sets(config.heads());
    let models = zip(&parts.augmenting, &sets).map(|(model, (bridge, connections))| {
        let typed = (model.decoder.config(), model.decoder.compute_type());
        (typed, connections.as_slice(), *bridge)
    });
    let overhead = Overhead::new((config, parts.anchor.compute_type()), models, args.seen());
    steps(
        args,
        &parts,
        bridges,
        config.vocab_size,
        overhead.training_flops(),
    )
}

/// Steps of the anchor alone, all of whose weights are trained.
pub(super) fn anchor(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let anchor = args.load("anchor", device)?;
    let config = anchor.config().clone();
    let forward = Overhead::new((&config, anchor.compute_type()), [], args.seen()).anchor;
    let parameters = anchor.fork(&device.clone().autodiff()).train();
    // The gradient of a product takes two: one for each of its factors.
    let flops = 3 * forward.flops;
    steps(
        args,
        &LanguageModelling::default(),
        parameters,
        config.vocab_size,
        flops,
    )
}

/// Times steps; `flops_per_token` are those of matrix products and attention, forward and backward.
fn steps<O: Objective>(
    args: &MeasureArgs,
    objective: &O,
    parameters: O::Parameters,
    vocab_size: usize,
    flops_per_token: u64,
) -> Result<Measured> {
    let config = TrainConfig {
        steps: args.steps.get() + UNTIMED_STEPS,
        learning_rate: 1e-4,
        warmup_steps: 0,
        decay_share: 0.0,
        seed: args.seed,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(objective, parameters, config, None).into_diagnostic()?;
    let batches = |number| Ok(args.random_batch(vocab_size as u32, number as u64));
    let (mut seconds, mut begun) = (Vec::new(), Instant::now());
    let trained = trainer.run(&batches, |_| {
        seconds.push(begun.elapsed().as_secs_f64());
        begun = Instant::now();
        ControlFlow::Continue(())
    });
    trained.into_diagnostic()?;
    let step = median(seconds.split_off(UNTIMED_STEPS));
    let tokens = (args.batch.get() * args.seq.get()) as f64;
    let flops = tokens * flops_per_token as f64;
    Ok(Measured::of([
        ("step_s", step),
        ("tokens_per_s", tokens / step),
        ("step_gflop", flops / 1e9),
        ("gflop_per_s", flops / step / 1e9),
    ]))
}

impl MeasureArgs {
    /// How many tokens before it a token sees, on average.
    fn seen(&self) -> usize {
        self.seq.get() / 2
    }

    /// Rows of which every token but the first is a target: one token more than is read.
    fn random_batch(&self, vocab: u32, number: u64) -> Batch {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed + number);
        let row = |_| TokenizedExample::new(random_ids(&mut random, vocab, self.seq.get() + 1), 1);
        let rows: Vec<_> = (0..self.batch.get()).map(row).collect();
        Batch::collate(rows.iter().enumerate(), 0)
    }
}
