//! `--dry-run`: what a training run will be, without it.

use std::ops::ControlFlow;
use std::time::Duration;

use calm_lm::compose::{BridgeConfig, Connection};
use calm_lm::data::Batch;
use calm_lm::models::Decoder;
use calm_lm::train::{Objective, StepMetrics, Trainer};
use indicatif::HumanDuration;
use serde_json::{Value, json};

use super::compose::Models;
use super::footprint::{Footprint, MemoryEstimate};
use super::training::Training;
use super::training_data::TrainingData;
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
    fn of(data: &TrainingData) -> Result<Self, Failure> {
        let mut epoch = Self {
            batches: data.batches().per_epoch(),
            tokens: 0,
            target_tokens: 0,
            positions: 0,
            largest: 0,
            shape: [0; 2],
            largest_targets: 0,
        };
        for number in 0..epoch.batches {
            let batch = data.batch(number)?;
            epoch.tokens += batch.real.iter().filter(|real| **real).count();
            epoch.target_tokens += batch.target_tokens();
            epoch.positions += positions(&batch);
            if positions(&batch) > epoch.shape[0] * epoch.shape[1] {
                epoch.largest = number;
                epoch.shape = [batch.rows, batch.length];
                epoch.largest_targets = batch.target_tokens();
            }
        }
        Ok(epoch)
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

/// All that is told.
struct Preview<'a> {
    footprint: &'a Footprint,
    examples: usize,
    epoch: Epoch,
    epochs: f64,
    memory: MemoryEstimate,
    /// Bytes that this process held before there was a model.
    memory_before: u64,
    measured: Measured,
    seconds: f64,
}

impl Preview<'_> {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let (epoch, memory) = (&self.epoch, &self.memory);
        let [rows, length] = epoch.shape;
        let mib = |bytes: usize| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
        let parameters = format!(
            "{} frozen, {} trained",
            self.footprint.frozen_parameters(),
            self.footprint.trained_parameters()
        );
        let examples = format!(
            "{}: {} tokens, {} of them targets",
            self.examples, epoch.tokens, epoch.target_tokens
        );
        let epochs = format!("{:.2}, of {} batches each", self.epochs, epoch.batches);
        let estimate = format!(
            "{} MiB estimated: weights {}, gradients {}, optimiser {}, activations {} ({rows} rows \
             of {length}), kept from epoch to epoch {}",
            mib(memory.bytes()),
            mib(memory.weights),
            mib(memory.gradients),
            mib(memory.optimizer),
            mib(memory.activations),
            mib(memory.cache)
        );
        let peak = self.measured.peak_bytes.map(|peak| {
            let (peak, before) = (mib(peak as usize), mib(self.memory_before as usize));
            format!("{peak} MiB at most so far, {before} of them before models")
        });
        let time = format!(
            "{} estimated, by the speed of {} steps",
            HumanDuration(Duration::from_secs_f64(self.seconds)),
            self.measured.steps
        );
        let rows = [
            Some(("parameters", parameters)),
            Some(("examples", examples)),
            Some(("padding", format!("{:.1} %", 100.0 * epoch.padding_share()))),
            Some(("epochs", epochs)),
            Some(("memory", estimate)),
            peak.map(|peak| ("", peak)),
            Some(("time", time)),
        ];
        rows.into_iter().flatten().collect()
    }

    fn json(&self) -> Value {
        let epoch = &self.epoch;
        json!({
            "parameters": {
                "frozen": self.footprint.frozen_parameters(),
                "trained": self.footprint.trained_parameters(),
            },
            "data": {
                "examples": self.examples,
                "tokens": epoch.tokens,
                "target_tokens": epoch.target_tokens,
                "padding_share": epoch.padding_share(),
                "batches_per_epoch": epoch.batches,
                "epochs": self.epochs,
            },
            "memory_bytes": {
                "estimate": self.memory.json(),
                "rows": epoch.shape[0],
                "length": epoch.shape[1],
                "measured_peak": self.measured.peak_bytes,
                "measured_before_models": self.memory_before,
            },
            "time": {
                "seconds": self.seconds,
                "measured_steps": self.measured.steps,
            },
        })
    }
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
        let epoch = Epoch::of(data)?;
        let measured = self.measure(objective, parameters, data, &epoch)?;
        let config = self.config();
        let epochs = self.epochs(data);
        let [rows, length] = epoch.shape;
        let preview = Preview {
            footprint,
            examples: data.batches().examples().len(),
            epochs,
            memory: footprint.estimate(rows, length, epoch.largest_targets),
            memory_before: self.memory_before,
            seconds: epochs * epoch.positions as f64 * measured.seconds_per_position,
            epoch,
            measured,
        };
        let warmup = [("warmup-steps", json!(config.warmup_steps))];
        let settings = self.common.settings.with(warmup.into_iter().chain(chosen));
        let figures = table(&preview.rows());
        let comments = figures.lines().map(|line| format!("# {line}\n"));
        let text = format!("{}\n{}", settings.toml(), comments.collect::<String>());
        let mut json = json!({ "config": settings.json() });
        if let (Value::Object(all), Value::Object(figures)) = (&mut json, preview.json()) {
            all.extend(figures);
        }
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
        let batches = |at: usize| Ok(data.batches().batch(number(at))?);
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
        let positions = batches
            .map(|at| Ok(positions(&data.batch(number(at))?)))
            .sum::<Result<usize, Failure>>()?;
        Ok(Measured {
            seconds_per_position: seconds / positions.max(1) as f64,
            steps: done.len() - first,
            peak_bytes: calm_lm::backend::peak_memory(),
        })
    }
}

impl Models {
    /// What training these bridges takes of memory.
    pub(super) fn footprint(
        &self,
        sets: &[(BridgeConfig, Vec<Connection>)],
        trained: usize,
    ) -> Footprint {
        let augmenting: Vec<&Decoder> = self.augmenting.iter().map(|m| &m.decoder).collect();
        Footprint::of_bridges(&self.anchor.decoder, &augmenting, sets, trained)
    }

    /// The values of flags that were left open; those of a composition come with it.
    pub(super) fn chosen(&self) -> Vec<(&'static str, Value)> {
        if self.extended.is_some() {
            return Vec::new();
        }
        let plans = self
            .connections
            .iter()
            .map(|plan| json!(json!(plan).to_string()));
        vec![
            ("connections", plans.collect()),
            ("heads", json!(self.heads)),
        ]
    }
}
