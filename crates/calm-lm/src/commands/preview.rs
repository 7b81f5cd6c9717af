//! `--dry-run`: what a training run will be, without it.

use std::ops::ControlFlow;

use calm_lm::data::Batch;
use calm_lm::train::{Objective, StepMetrics, Trainer};
use serde_json::{Value, json};

use super::footprint::Footprint;
use super::training::{Training, TrainingData};
use crate::failure::Failure;
use crate::report::{Report, table};

/// Steps whose time is taken, after one that is not: the first makes what stays, such as threads.
const TIMED_STEPS: usize = 3;

/// What an epoch is.
struct Epoch {
    batches: usize,
    /// Tokens that a model reads.
    tokens: usize,
    target_tokens: usize,
    /// The same with padding.
    positions: usize,
    /// The batch with the most positions, and its shape.
    largest: usize,
    shape: [usize; 2],
    largest_targets: usize,
}

impl Epoch {
    fn of(data: &TrainingData) -> Self {
        let mut epoch = Self {
            batches: data.batches.per_epoch(),
            tokens: 0,
            target_tokens: 0,
            positions: 0,
            largest: 0,
            shape: [0; 2],
            largest_targets: 0,
        };
        for number in 0..epoch.batches {
            let batch = data.batches.batch(number);
            epoch.tokens += batch.real.iter().filter(|real| **real).count();
            epoch.target_tokens += batch.target_tokens();
            epoch.positions += positions(&batch);
            if positions(&batch) > epoch.shape[0] * epoch.shape[1] {
                epoch.largest = number;
                epoch.shape = [batch.rows, batch.length];
                epoch.largest_targets = batch.target_tokens();
            }
        }
        epoch
    }

    fn padding_share(&self) -> f64 {
        1.0 - self.tokens as f64 / self.positions.max(1) as f64
    }
}

fn positions(batch: &Batch) -> usize {
    batch.rows * batch.length
}

/// What the measured steps came to.
struct Measured {
    seconds_per_position: f64,
    steps: usize,
    peak_bytes: Option<u64>,
}

impl Training<'_> {
    /// What the run with these parameters will be: settings, sizes, memory and time. Some steps are
    /// done to measure them; nothing is written. `chosen` are the values of flags that were left to
    /// the verb.
    pub(super) fn preview<O: Objective>(
        &self,
        objective: &O,
        parameters: O::Parameters,
        data: &TrainingData,
        footprint: &Footprint,
        chosen: Vec<(&'static str, Value)>,
    ) -> Result<Report, Failure> {
        let epoch = Epoch::of(data);
        let measured = self.measure(objective, parameters, data, &epoch)?;
        let config = self.config();
        let batches = config.steps * config.accumulation;
        let positions = batches as f64 * epoch.positions as f64 / epoch.batches as f64;
        let seconds = positions * measured.seconds_per_position;
        let [rows, length] = epoch.shape;
        let memory = footprint.estimate(rows, length, epoch.largest_targets);
        let chosen = [("warmup-steps", json!(config.warmup_steps))]
            .into_iter()
            .chain(chosen);
        let settings = self.common.settings.with(chosen);

        let mib = |bytes: usize| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let mut figures = vec![
            (
                "parameters",
                format!(
                    "{} frozen, {} trained",
                    footprint.frozen_parameters(),
                    footprint.trained_parameters()
                ),
            ),
            (
                "examples",
                format!(
                    "{}: {} tokens, {} of them targets",
                    data.examples().len(),
                    epoch.tokens,
                    epoch.target_tokens
                ),
            ),
            ("padding", format!("{:.1} %", 100.0 * epoch.padding_share())),
            (
                "epochs",
                format!(
                    "{:.2}, of {} batches each",
                    batches as f64 / epoch.batches as f64,
                    epoch.batches
                ),
            ),
            (
                "memory",
                format!(
                    "{} MiB estimated: weights {}, gradients {}, optimiser {}, activations {} \
                     ({rows} rows of {length})",
                    mib(memory.bytes()),
                    mib(memory.weights),
                    mib(memory.gradients),
                    mib(memory.optimizer),
                    mib(memory.activations)
                ),
            ),
        ];
        if let Some(peak) = measured.peak_bytes {
            let (peak, before) = (mib(peak as usize), mib(self.memory_before as usize));
            let text = format!("{peak} MiB at most so far, {before} of them before models");
            figures.push(("", text));
        }
        let time = format!(
            "{} estimated, by the speed of {} steps",
            indicatif::HumanDuration(std::time::Duration::from_secs_f64(seconds)),
            measured.steps
        );
        figures.push(("time", time));
        let figures = table(&figures);
        let comments = figures.lines().map(|line| format!("# {line}\n"));
        let text = format!("{}\n{}", settings.toml(), comments.collect::<String>());
        let json = json!({
            "config": settings.json(),
            "parameters": {
                "frozen": footprint.frozen_parameters(),
                "trained": footprint.trained_parameters(),
            },
            "data": {
                "examples": data.examples().len(),
                "tokens": epoch.tokens,
                "target_tokens": epoch.target_tokens,
                "padding_share": epoch.padding_share(),
                "batches_per_epoch": epoch.batches,
                "epochs": batches as f64 / epoch.batches as f64,
            },
            "memory_bytes": {
                "estimate": memory.json(),
                "rows": rows,
                "length": length,
                "measured_peak": measured.peak_bytes,
                "measured_before_models": self.memory_before,
            },
            "time": {
                "seconds": seconds,
                "measured_steps": measured.steps,
            },
        });
        Ok(Report::new(text, json))
    }

    /// Does a step with the largest batch, which shows the memory, and some with those that the
    /// run will begin with, which show the time.
    fn measure<O: Objective>(
        &self,
        objective: &O,
        parameters: O::Parameters,
        data: &TrainingData,
        epoch: &Epoch,
    ) -> Result<Measured, Failure> {
        let config = self.config();
        let accumulation = config.accumulation;
        let number = |number: usize| match number.checked_sub(accumulation) {
            Some(number) => number,
            None => epoch.largest,
        };
        let batches = |at: usize| Ok(data.batches.batch(number(at)));
        let mut trainer = Trainer::new(objective, parameters, config.clone(), None)?;
        let mut done: Vec<StepMetrics> = Vec::new();
        trainer.run(&batches, |metrics| {
            done.push(metrics.clone());
            if done.len() > TIMED_STEPS {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        // Of a run of one step there is only the first.
        let first = usize::from(done.len() > 1);
        let begun = if first > 0 { done[0].seconds } else { 0.0 };
        let seconds = done.last().map_or(0.0, |last| last.seconds) - begun;
        let batches = first * accumulation..done.len() * accumulation;
        let positions: usize = batches
            .map(|at| positions(&data.batches.batch(number(at))))
            .sum();
        Ok(Measured {
            seconds_per_position: seconds / positions.max(1) as f64,
            steps: done.len() - first,
            peak_bytes: calm_lm::backend::peak_memory(),
        })
    }
}
