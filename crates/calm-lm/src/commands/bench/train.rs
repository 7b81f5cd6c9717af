//! Single steps of training bridges, with a loss on every token and nothing kept from one to the
//! next.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Device;
use calm_lm::compose::ConnectionPlan;
use calm_lm::data::{Batch, TokenizedExample};
use calm_lm::train::{TrainConfig, Trainer};
use clap::Args;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{PairArgs, at_least_one, bridges, frozen_parts, middle, random_ids, report, rounded};
use crate::failure::Failure;
use crate::report::Report;

/// The first steps reserve memory.
const UNTIMED_STEPS: usize = 2;

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    pair: PairArgs,
    /// Rows at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Tokens of each row
    #[arg(long, value_name = "N", default_value_t = 128)]
    seq: usize,
    /// Where the anchor reads: every:4 or other plans, as of calm compose
    #[arg(long, value_name = "PLAN", default_value = "every:4")]
    connections: ConnectionPlan,
    /// Steps that are timed, after two that are not
    #[arg(long, value_name = "N", default_value_t = 10)]
    steps: usize,
}

pub(super) fn run(args: &TrainArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    at_least_one(&[
        ("--batch", args.batch),
        ("--seq", args.seq),
        ("--steps", args.steps),
    ])?;
    let parts = frozen_parts(&args.pair, &args.connections, device)?;
    let bridges = bridges(&parts, &device.clone().autodiff())?;
    let config = TrainConfig {
        steps: args.steps + UNTIMED_STEPS,
        learning_rate: 1e-4,
        warmup_steps: 0,
        decay_share: 0.0,
        seed,
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(&parts, bridges, config, None)?;
    let vocab = parts.anchor.config().vocab_size as u32;
    let batches = |number| Ok(random_batch(args, vocab, seed + number as u64));
    let (mut seconds, mut begun) = (Vec::new(), Instant::now());
    trainer.run(&batches, |_| {
        seconds.push(begun.elapsed().as_secs_f64());
        begun = Instant::now();
        ControlFlow::Continue(())
    })?;
    let step = middle(seconds.split_off(UNTIMED_STEPS));
    let figures = json!({
        "batch": args.batch,
        "seq": args.seq,
        "step_s": rounded(step),
        "tokens_per_s": rounded((args.batch * args.seq) as f64 / step),
    });
    Ok(report("train", &args.pair, device, &figures))
}

/// Rows of which every token but the first is a target: one token more than is read.
fn random_batch(args: &TrainArgs, vocab: u32, seed: u64) -> Batch {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let row = |_| TokenizedExample {
        ids: random_ids(&mut random, vocab, args.seq + 1),
        target_start: 1,
    };
    let rows: Vec<_> = (0..args.batch).map(row).collect();
    Batch::collate(rows.iter().enumerate(), 0)
}
