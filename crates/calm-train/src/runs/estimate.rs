//! Estimate of a run before it is begun: size, memory and time.

use std::ops::ControlFlow;

use calm_data::Batch;
use serde::Serialize;

use super::data::TrainingData;
use super::footprint::{Footprint, MemoryEstimate, ParameterCounts};
use super::training::TrainingRun;
use crate::{Objective, StepMetrics, TrainError, Trainer};

/// Steps that are timed, after one that is not: the first step makes what stays, such as threads.
const TIMED_STEPS: usize = 3;

/// Size, memory and time of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Estimate {
    /// Numbers of parameters.
    pub parameters: ParameterCounts,
    /// An epoch of the data.
    pub data: DataEstimate,
    /// Memory at the largest batch of an epoch.
    pub memory_bytes: MeasuredMemory,
    /// Time of all steps.
    pub time: TimeEstimate,
}

/// An epoch of the data.
#[derive(Debug, Clone, Serialize)]
pub struct DataEstimate {
    /// Number of examples.
    pub examples: usize,
    /// All of its tokens, those that are only ever a target included: as the run counts them.
    pub tokens: u64,
    /// Tokens that carry loss.
    pub target_tokens: usize,
    /// Share of padding.
    pub padding_share: f64,
    /// Batches of an epoch.
    pub batches_per_epoch: usize,
    /// Epochs of the run.
    pub epochs: f64,
}

/// Memory of a run, in bytes.
#[derive(Debug, Clone, Serialize)]
pub struct MeasuredMemory {
    /// The most that the run will hold on a processor: what the steps that were done for this
    /// estimate have held, and the rest of what is kept from epoch to epoch. None on other devices,
    /// and where the system does not tell.
    pub expected_peak: Option<u64>,
    /// Tensors of it, by arithmetic.
    pub estimate: MemoryEstimate,
    /// Rows of the largest batch.
    pub rows: usize,
    /// Tokens of each of its rows.
    pub length: usize,
    /// The most memory that the process has held so far, where the system tells.
    pub measured_peak: Option<u64>,
    /// The same before there was a model.
    pub measured_before_models: u64,
}

/// Time of a run.
#[derive(Debug, Clone, Serialize)]
pub struct TimeEstimate {
    /// Seconds of all steps.
    pub seconds: f64,
    /// Steps that were timed for it.
    pub measured_steps: usize,
}

impl Estimate {
    /// The estimate of a run with these parameters. Some steps are done to measure them; nothing is
    /// written.
    pub(super) fn new<O: Objective>(
        run: &TrainingRun,
        objective: &O,
        parameters: O::Parameters,
        data: &TrainingData,
        footprint: &Footprint,
    ) -> Result<Self, TrainError> {
        let epoch = Epoch::of(data)?;
        let measured = Measured::new(objective, parameters, data, &epoch)?;
        let epochs = data.epochs();
        let [rows, length] = epoch.shape;
        let estimate = footprint.estimate(rows, length, epoch.largest_targets);
        let measured_peak = calm_backend::peak_memory();
        let steps = measured.steps_done * data.settings.accumulation;
        let done = (steps as f64 / data.train.batches.per_epoch() as f64).min(1.0);
        let is_processor = calm_backend::is_processor(&run.context.device);
        let to_be_kept = (estimate.activation_cache as f64 * (1.0 - done)) as u64;
        Ok(Self {
            parameters: footprint.parameters(),
            data: DataEstimate {
                examples: data.train.batches.examples().len(),
                tokens: data.train.batches.examples().tokens(),
                target_tokens: epoch.target_tokens,
                padding_share: 1.0 - epoch.tokens as f64 / epoch.positions.max(1) as f64,
                batches_per_epoch: data.train.batches.per_epoch(),
                epochs,
            },
            memory_bytes: MeasuredMemory {
                expected_peak: measured_peak
                    .filter(|_| is_processor)
                    .map(|peak| peak + to_be_kept),
                estimate,
                rows,
                length,
                measured_peak,
                measured_before_models: run.memory_before,
            },
            time: TimeEstimate {
                seconds: epochs * epoch.positions as f64 * measured.seconds_per_position,
                measured_steps: measured.steps,
            },
        })
    }
}

/// Counts of an epoch.
#[derive(Default)]
struct Epoch {
    tokens: usize,
    target_tokens: usize,
    /// Tokens and padding.
    positions: usize,
    /// Number of the batch with the most positions, and its shape.
    largest: usize,
    shape: [usize; 2],
    largest_targets: usize,
}

impl Epoch {
    fn of(data: &TrainingData) -> Result<Self, TrainError> {
        let mut epoch = Self::default();
        for number in 0..data.train.batches.per_epoch() {
            let batch = data.train.batches.batch(number)?;
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
}

fn positions(batch: &Batch) -> usize {
    batch.rows * batch.length
}

/// Speed of a few steps.
struct Measured {
    seconds_per_position: f64,
    /// Steps that were timed.
    steps: usize,
    /// Steps that were done, the first with the largest batch.
    steps_done: usize,
}

impl Measured {
    /// Does a step with the largest batch, which shows the memory, and some with the batches that
    /// the run will begin with, which show the time.
    fn new<O: Objective>(
        objective: &O,
        parameters: O::Parameters,
        data: &TrainingData,
        epoch: &Epoch,
    ) -> Result<Self, TrainError> {
        let accumulation = data.settings.accumulation;
        let batch = |at: usize| {
            let number = at.checked_sub(accumulation).unwrap_or(epoch.largest);
            data.batch(number)
        };
        let mut trainer = Trainer::new(objective, parameters, data.settings.clone(), None)?;
        let mut done: Vec<StepMetrics> = Vec::new();
        trainer.run(&batch, |metrics| {
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
            .map(|at| Ok(positions(&batch(at)?)))
            .sum::<Result<usize, TrainError>>()?;
        Ok(Self {
            seconds_per_position: seconds / positions.max(1) as f64,
            steps: done.len() - first,
            steps_done: done.len(),
        })
    }
}
