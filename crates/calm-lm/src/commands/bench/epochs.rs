//! Training of bridges for some epochs, by the fastest way there is: activations are kept, logits
//! are those that carry loss, examples of one length share a batch.

use std::cell::{Cell, RefCell};
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::compose::ConnectionPlan;
use calm_lm::data::{Batch, Batches, Examples, TokenizedExample};
use calm_lm::train::{
    ActivationPlace, ActivationPlan, BridgeTraining, HeldOut, TrainConfig, Trainer, Validator,
};
use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PairArgs, at_least_one, bridges, frozen_parts, report, rounded};
use crate::failure::Failure;
use crate::report::Report;

#[derive(Debug, Args)]
pub(super) struct EpochsArgs {
    #[command(flatten)]
    pair: PairArgs,
    /// What is trained on: {"examples": […], "held_out": […]}, each of them {"ids": […],
    /// "target_start": N}
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// How often every example is seen
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: usize,
    /// Rows at once
    #[arg(long, value_name = "N", default_value_t = 16)]
    batch: usize,
    /// Learning rate of AdamW, the same at every step
    #[arg(long, value_name = "RATE", default_value_t = 1e-3)]
    learning_rate: f64,
    /// Steps between losses on the held-out examples, which are not timed
    #[arg(long, value_name = "N", default_value_t = 4)]
    every: usize,
    /// Keep nothing from one epoch to the next
    #[arg(long)]
    no_cache: bool,
    /// Write the bridges as they begin, so that another program can begin with the same
    #[arg(long, value_name = "FILE")]
    write_initial: Option<PathBuf>,
}

/// The file of `--data`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    examples: Vec<Row>,
    held_out: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    ids: Vec<u32>,
    target_start: usize,
}

impl Data {
    fn read(args: &EpochsArgs, vocab: usize) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::path(&args.data, reason);
        let text = fs::read(&args.data).map_err(|error| wrong(error.to_string()))?;
        let data: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let is_good = |row: &Row| {
            let in_vocabulary = row.ids.iter().all(|id| (*id as usize) < vocab);
            in_vocabulary && row.target_start.max(1) < row.ids.len()
        };
        for (name, rows) in [("examples", &data.examples), ("held_out", &data.held_out)] {
            if rows.is_empty() {
                return Err(wrong(format!("there are no {name}")));
            }
            if let Some(number) = rows.iter().position(|row| !is_good(row)) {
                let reason = format!(
                    "{name}[{number}] has no target, or an id that is not below {vocab}, the size \
                     of the vocabulary"
                );
                return Err(wrong(reason));
            }
        }
        Ok(data)
    }
}

impl From<Row> for TokenizedExample {
    fn from(Row { ids, target_start }: Row) -> Self {
        Self { ids, target_start }
    }
}

pub(super) fn run(args: &EpochsArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    at_least_one(&[
        ("--epochs", args.epochs),
        ("--batch", args.batch),
        ("--every", args.every),
    ])?;
    let parts = frozen_parts(&args.pair, &ConnectionPlan::default(), device)?;
    let bridges = bridges(&parts, &device.clone().autodiff())?;
    if let Some(path) = &args.write_initial {
        bridges.write(path)?;
    }
    let data = Data::read(args, parts.anchor.config().vocab_size)?;
    let held_out: Vec<TokenizedExample> = data.held_out.into_iter().map(Into::into).collect();
    let held_out: Vec<Batch> = held_out
        .chunks(args.batch)
        .map(|rows| Batch::collate(rows.iter().enumerate(), 0))
        .collect();
    let held_out = HeldOut::new(&parts, held_out);
    let initial_loss = held_out.validate(&bridges)?.loss;

    let begun = Instant::now();
    let examples: Examples = data.examples.into_iter().map(Into::into).collect();
    let mut plan = ActivationPlan::new(&parts, &Value::Null, FloatType::F32);
    for example in examples.iter() {
        plan.add_example(&example?, None);
    }
    let cache = plan.open(&ActivationPlace::Memory, u64::MAX)?;
    let batches = Batches::new(examples, args.batch, 0, seed);
    let mut objective = BridgeTraining::new(&parts);
    if !args.no_cache {
        objective = objective.keeping(&cache);
    }
    let config = TrainConfig {
        steps: args.epochs * batches.per_epoch(),
        learning_rate: args.learning_rate,
        warmup_steps: 0,
        decay_share: 0.0,
        betas: [0.9, 0.999],
        // Gradients are never as large.
        clip_norm: 1e9,
        validation_steps: Some(args.every),
        seed,
        ..TrainConfig::default()
    };
    let (curve, untimed) = (RefCell::new(Vec::new()), Cell::new(0.0));
    let steps = config.steps;
    let mut trainer = Trainer::new(&objective, bridges, config, None)?.validated_by(
        Box::new(held_out),
        |found, _| {
            untimed.set(untimed.get() + found.seconds);
            let seconds = begun.elapsed().as_secs_f64() - untimed.get();
            curve
                .borrow_mut()
                .push(json!([found.step, rounded(seconds), found.loss]));
        },
    );
    trainer.run(&|number| Ok(batches.batch(number)?), |_| {
        ControlFlow::Continue(())
    })?;
    drop(trainer);
    let seconds = begun.elapsed().as_secs_f64() - untimed.get();
    let figures = json!({
        "batch": args.batch,
        "epochs": args.epochs,
        "steps": steps,
        "padding_share": rounded(batches.padding_share()),
        "kept_mib": cache.statistics().kept_bytes >> 20,
        "initial_loss": initial_loss,
        "step_seconds_loss": curve.into_inner(),
        "train_s": rounded(seconds),
    });
    Ok(report("epochs", &args.pair, device, &figures))
}
