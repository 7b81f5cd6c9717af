//! Doing the jobs of a plan: those whose results are not there yet, as many side by side as threads
//! and memory allow.

mod attention;
mod estimate;
mod evaluate;
mod model;
mod monitor;
mod schedule;
mod train;

use std::time::Instant;

use burn::tensor::Device;
use calm_sandbox::SandboxOptions;
use calm_train::runs::{Environment, RunContext};

pub use self::estimate::{Estimates, JobEstimate};
pub use self::monitor::{JobMonitor, Monitor, Overview};
use crate::ExperimentError;
use crate::plan::{PROGRAM, Plan};
use crate::table::{AttentionSample, Circumstances, Evaluated, Table, TableOptions, TrainedRun};

/// Machine and limits of a run.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Device of all models.
    pub device: Device,
    /// Name by which the user asked for it.
    pub device_name: String,
    /// Most jobs at a time; by default one for each thread.
    pub jobs: Option<usize>,
    /// Commit of the program, if known.
    pub commit: Option<String>,
    /// The sandbox of tasks that run programs.
    pub sandbox: SandboxOptions,
}

/// What came of the jobs of a plan.
#[derive(Debug, Default)]
struct Outcome {
    evaluated: Vec<Evaluated>,
    runs: Vec<TrainedRun>,
    attention: Vec<AttentionSample>,
    /// Whether it was there already.
    is_reused: bool,
}

/// Does all jobs whose results are not there yet, and makes the table. A run that was killed, or
/// that `monitor` ends, goes on from where it was when the same plan is run again.
///
/// # Errors
///
/// [`ExperimentError`] of the first job that fails. Jobs that have begun by then go on to their end,
/// and nothing that was computed is lost.
pub fn run(
    plan: &Plan,
    estimates: &Estimates,
    options: &RunnerOptions,
    monitor: &dyn Monitor,
) -> Result<Table, ExperimentError> {
    let begun = Instant::now();
    let outcomes = schedule::run_all(plan, estimates, options, monitor)?;
    let environment = Environment::new(&options.device, None);
    let circumstances = Circumstances {
        program: program(options),
        device: environment.device,
        system: environment.system,
        threads: environment.threads,
        seconds: begun.elapsed().as_secs_f64(),
        jobs_reused: outcomes.iter().filter(|outcome| outcome.is_reused).count(),
        peak_bytes: calm_backend::peak_memory(),
        experiment: plan.experiment.to_toml(),
    };
    let (mut evaluated, mut runs, mut attention) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in outcomes {
        evaluated.extend(outcome.evaluated);
        runs.extend(outcome.runs);
        attention.extend(outcome.attention);
    }
    let frame = plan.frame.clone();
    let table = Table::build(
        frame,
        evaluated,
        runs,
        attention,
        circumstances,
        &TableOptions::default(),
    );
    Ok(table?)
}

impl RunnerOptions {
    /// Program, device and seed of a training. Commits are no part of it: another one goes on.
    fn context(&self, seed: u64) -> RunContext {
        RunContext {
            device: self.device.clone(),
            device_name: self.device_name.clone(),
            seed,
            program: PROGRAM.to_owned(),
        }
    }
}

/// Program, version and commit.
fn program(options: &RunnerOptions) -> String {
    match &options.commit {
        Some(commit) => format!("{PROGRAM} ({commit})"),
        None => PROGRAM.to_owned(),
    }
}
