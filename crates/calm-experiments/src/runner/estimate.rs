//! Time, memory and disk of jobs, before any of them begins.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use calm_train::runs::{ComposeRun, PretrainRun, RunEvent};

use super::RunnerOptions;
use super::evaluate::is_evaluated;
use super::train::is_trained;
use crate::ExperimentError;
use crate::plan::{Job, Plan, Work};

/// The operations of a step take up to half as much again as the tensors that it holds.
const SLACK: f64 = 1.5;
/// Memory of a job besides its tensors: texts, tokens, samples.
const BESIDE: u64 = 48 << 20;
/// Bytes of a sample in its file.
const SAMPLE_BYTES: u64 = 1024;
/// A parameter that is trained, with what the optimiser keeps of it.
const CHECKPOINT_BYTES: u64 = 12;
/// Share of the free memory that jobs may take.
const SHARE: f64 = 0.8;

/// What a job will take, as far as it is not done yet.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct JobEstimate {
    /// Steps of its training.
    pub steps: usize,
    /// Seconds of a step, with all threads.
    pub seconds_per_step: f64,
    /// Examples that it answers.
    pub examples: usize,
    /// Most memory that it holds.
    pub memory_bytes: u64,
    /// What it writes.
    pub disk_bytes: u64,
    /// Whether its models are made by another job, so that nothing could be measured.
    pub is_unknown: bool,
}

impl JobEstimate {
    /// Seconds of its training.
    pub fn training_seconds(&self) -> f64 {
        self.steps as f64 * self.seconds_per_step
    }
}

/// What all jobs of a plan will take.
#[derive(Debug, Clone)]
pub struct Estimates {
    /// Of each job.
    pub jobs: Vec<JobEstimate>,
    /// Memory that they may take together, where the system tells.
    pub available: Option<u64>,
}

impl Estimates {
    /// Measures a few steps of every system that is to be trained. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] of a model or of data that cannot be used.
    pub fn new(plan: &Plan, options: &RunnerOptions) -> Result<Self, ExperimentError> {
        let available = calm_backend::available_memory();
        let mut known: BTreeMap<usize, JobEstimate> = BTreeMap::new();
        let mut jobs = Vec::new();
        for job in &plan.jobs {
            let mut estimate = JobEstimate::default();
            if job.seed.is_some() && !is_trained(plan, job) {
                // The seeds of a system are alike.
                let of_system = job.system.and_then(|system| known.get(&system));
                estimate = match of_system {
                    Some(estimate) => *estimate,
                    None => measure(plan, job, options)?,
                };
                known.extend(job.system.map(|system| (system, estimate)));
            }
            jobs.push(with_evaluation(estimate, plan, job));
        }
        Ok(Self {
            jobs,
            available: available.map(|bytes| (bytes as f64 * SHARE) as u64),
        })
    }

    /// Checks that every job can be held at all.
    pub(super) fn check_memory(
        &self,
        plan: &Plan,
        is_done: &[bool],
    ) -> Result<(), ExperimentError> {
        let Some(available) = self.available else {
            return Ok(());
        };
        let open = plan.jobs.iter().zip(&self.jobs).zip(is_done);
        let mut open = open.filter(|(_, is_done)| !**is_done);
        match open.find(|((_, estimate), _)| estimate.memory_bytes > available) {
            None => Ok(()),
            Some(((job, estimate), _)) => Err(ExperimentError::Memory {
                job: job.title.clone(),
                needed_mib: estimate.memory_bytes >> 20,
                available_mib: available >> 20,
            }),
        }
    }
}

fn measure(
    plan: &Plan,
    job: &Job,
    options: &RunnerOptions,
) -> Result<JobEstimate, ExperimentError> {
    let is_made = |key: &String| {
        let mut makers = plan.jobs.iter().filter(|other| other.key == *key);
        makers.all(|maker| is_trained(plan, maker))
    };
    if !job.needs.iter().all(is_made) {
        return Ok(JobEstimate {
            is_unknown: true,
            ..JobEstimate::default()
        });
    }
    let context = options.context(job.seed.unwrap_or_default());
    let mut silent = |_: RunEvent<'_>| ControlFlow::Continue(());
    let estimated = match &job.work {
        Work::Frozen => return Ok(JobEstimate::default()),
        Work::Compose(config) => ComposeRun::new((**config).clone(), context)
            .and_then(|run| run.estimate(&mut silent))
            .map(|(estimate, config)| (estimate, config.training)),
        Work::Pretrain(config) => PretrainRun::new((**config).clone(), context)
            .and_then(|run| run.estimate(&mut silent))
            .map(|(estimate, config)| (estimate, config.training)),
    };
    let (estimate, training) = estimated.map_err(|source| ExperimentError::Training {
        job: job.title.clone(),
        source: Box::new(source),
    })?;
    let steps = training.steps.unwrap_or_default();
    let checkpoints = training.keep_checkpoints as u64 + 1;
    let [frozen, trained] = [estimate.parameters.frozen, estimate.parameters.trained];
    let is_bridges = matches!(&job.work, Work::Compose(config) if config.baseline.is_none());
    // A baseline is a whole checkpoint.
    let kept_parameters = if is_bridges {
        trained
    } else {
        trained.max(frozen)
    };
    let (trained, kept_parameters) = (trained as u64, kept_parameters as u64);
    let memory = estimate.memory_bytes.estimate.total as f64 * SLACK;
    Ok(JobEstimate {
        steps,
        seconds_per_step: estimate.time.seconds / steps.max(1) as f64,
        memory_bytes: memory as u64 + BESIDE,
        disk_bytes: 4 * kept_parameters + trained * CHECKPOINT_BYTES * checkpoints,
        ..JobEstimate::default()
    })
}

/// With the evaluation of the job on all tasks.
fn with_evaluation(mut estimate: JobEstimate, plan: &Plan, job: &Job) -> JobEstimate {
    if job.system.is_none() {
        return estimate;
    }
    for task in &plan.tasks {
        let directory = plan.store.cell(&job.cell(task));
        if !is_evaluated(&directory) {
            let examples = task.evaluation.examples();
            estimate.examples += examples;
            estimate.disk_bytes += examples as u64 * SAMPLE_BYTES;
        }
    }
    if estimate.memory_bytes == 0 && estimate.examples > 0 {
        estimate.memory_bytes = weights(job) + BESIDE;
    }
    estimate
}

/// Bytes of the files of a model that is loaded as it is.
fn weights(job: &Job) -> u64 {
    let sizes = job.models.iter().map(|(_, model)| model.bytes);
    (sizes.sum::<u64>() as f64 * SLACK) as u64
}
