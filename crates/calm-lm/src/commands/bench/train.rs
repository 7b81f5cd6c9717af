//! Single steps of training, with a loss on every token and nothing kept from one to the next.

use std::iter::zip;
use std::ops::ControlFlow;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::compose::{ConnectionPlan, Overhead};
use calm_lm::data::{Batch, TokenizedExample};
use calm_lm::train::{LanguageModelling, Objective, TrainConfig, Trainer};
use clap::Args;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{
    PairArgs, at_least_one, bridges, frozen_parts, load_anchor, middle, random_ids, report, rounded,
};
use crate::failure::Failure;
use crate::report::Report;

/// The first steps reserve memory.
const UNTIMED_STEPS: usize = 2;

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    steps: StepArgs,
    /// Where the anchor reads: every:4 or other plans, as of calm compose
    #[arg(long, value_name = "PLAN", default_value = "every:4")]
    connections: ConnectionPlan,
}

#[derive(Debug, Args)]
pub(super) struct StepArgs {
    #[command(flatten)]
    pair: PairArgs,
    /// Rows at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Tokens of each row
    #[arg(long, value_name = "N", default_value_t = 128)]
    seq: usize,
    /// Steps that are timed, after two that are not
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
}

/// Steps of the bridges between frozen models.
pub(super) fn run(args: &TrainArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    let StepArgs { pair, .. } = &args.steps;
    let parts = frozen_parts(pair, &args.connections, device)?;
    let bridges = bridges(&parts, &device.clone().autodiff())?;
    let config = parts.anchor.config();
    let sets = parts.bridge_sets(config.heads);
    let models = zip(&parts.augmenting, &sets).map(|(model, (bridge, connections))| {
        (model.decoder.config(), connections.as_slice(), *bridge)
    });
    let overhead = Overhead::new(config, models, args.steps.seen(), pair.dtype);
    let timed = Timed {
        verb: "train",
        objective: &parts,
        parameters: bridges,
        vocab_size: config.vocab_size,
        flops_per_token: overhead.training_flops(),
    };
    timed.run(&args.steps, device, seed)
}

/// Steps of the anchor alone, all of whose weights are trained.
pub(super) fn finetune(args: &StepArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    let anchor = load_anchor(&args.pair, device)?;
    let config = anchor.config().clone();
    let forward = Overhead::new(&config, [], args.seen(), args.pair.dtype).anchor;
    let timed = Timed {
        verb: "finetune",
        objective: &LanguageModelling::default(),
        parameters: anchor.fork(&device.clone().autodiff()).train(),
        vocab_size: config.vocab_size,
        // The gradient of a product takes two: one for each of its factors.
        flops_per_token: 3 * forward.flops,
    };
    timed.run(args, device, seed)
}

/// What is trained.
struct Timed<'a, O: Objective> {
    verb: &'static str,
    objective: &'a O,
    parameters: O::Parameters,
    vocab_size: usize,
    /// Of matrix products and attention, forward and back.
    flops_per_token: u64,
}

impl<O: Objective> Timed<'_, O> {
    fn run(self, args: &StepArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
        at_least_one(&[
            ("--batch", args.batch),
            ("--seq", args.seq),
            ("--steps", args.steps),
        ])?;
        let config = TrainConfig {
            steps: args.steps + UNTIMED_STEPS,
            learning_rate: 1e-4,
            warmup_steps: 0,
            decay_share: 0.0,
            seed,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(self.objective, self.parameters, config, None)?;
        let vocab = self.vocab_size as u32;
        let batches = |number| Ok(args.random_batch(vocab, seed + number as u64));
        let (mut seconds, mut begun) = (Vec::new(), Instant::now());
        trainer.run(&batches, |_| {
            seconds.push(begun.elapsed().as_secs_f64());
            begun = Instant::now();
            ControlFlow::Continue(())
        })?;
        let step = middle(seconds.split_off(UNTIMED_STEPS));
        let tokens = (args.batch * args.seq) as f64;
        let flops = tokens * self.flops_per_token as f64;
        let figures = json!({
            "batch": args.batch,
            "seq": args.seq,
            "step_s": rounded(step),
            "tokens_per_s": rounded(tokens / step),
            "step_gflop": rounded(flops / 1e9),
            "gflop_per_s": rounded(flops / step / 1e9),
        });
        Ok(report(self.verb, &args.pair, device, &figures))
    }
}

impl StepArgs {
    /// How many tokens before it a token sees, on average.
    fn seen(&self) -> usize {
        self.seq / 2
    }

    /// Rows of which every token but the first is a target: one token more than is read.
    fn random_batch(&self, vocab: u32, seed: u64) -> Batch {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let row = |_| TokenizedExample {
            ids: random_ids(&mut random, vocab, self.seq + 1),
            target_start: 1,
        };
        let rows: Vec<_> = (0..self.batch).map(row).collect();
        Batch::collate(rows.iter().enumerate(), 0)
    }
}
