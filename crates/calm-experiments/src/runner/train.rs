//! Training what a job trains, once: a result that is there is read.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use calm_data::DataError;
use calm_train::TrainError;
use calm_train::runs::{ComposeOutcome, ComposeRun, PretrainRun, RunContext};

use super::{JobMonitor, RunnerOptions, program};
use crate::ExperimentError;
use crate::plan::{Job, Plan, Work};
use crate::table::TrainedRun;

/// File that says that a training came to its end, and what it cost.
const TRAINED: &str = "trained.json";

/// Whether the result of a training is there.
pub(super) fn is_trained(plan: &Plan, job: &Job) -> bool {
    job.directory(&plan.store).join(TRAINED).is_file()
}

/// Trains what the job trains, or goes on with it, and returns the record; none of a model as it is.
/// Breaks if the monitor ended it.
pub(super) fn train(
    plan: &Plan,
    job: &Job,
    options: &RunnerOptions,
    jobs_at_once: usize,
    monitor: &mut dyn JobMonitor,
) -> Result<ControlFlow<(), Option<TrainedRun>>, ExperimentError> {
    let Some(seed) = job.seed else {
        return Ok(ControlFlow::Continue(None));
    };
    let directory = job.directory(&plan.store);
    let _lock = plan.store.lock(&job.key)?;
    let path = directory.join(TRAINED);
    if path.is_file() {
        let run = named(read(&path)?, plan, job);
        return Ok(ControlFlow::Continue(Some(run)));
    }
    let context = options.context(seed);
    let run = match result(&job.work, context, monitor) {
        Ok(run) => run,
        Err(TrainError::Interrupted { .. }) => return Ok(ControlFlow::Break(())),
        Err(source) => {
            return Err(ExperimentError::Training {
                job: job.title.clone(),
                source: Box::new(source),
            });
        }
    };
    let weights = job.models.iter();
    let weights = weights.map(|(part, model)| (part.clone(), model.sha256.clone()));
    let run = TrainedRun {
        weights_sha256: weights.collect(),
        program: program(options),
        device: calm_backend::device_name(&options.device),
        jobs_at_once,
        ..named(run, plan, job)
    };
    let run = run.with_log(&directory)?;
    let text = serde_json::to_vec_pretty(&run).expect("a record is plain data");
    calm_files::write(&path, text)?;
    Ok(ControlFlow::Continue(Some(run)))
}

/// Does the work to its end.
fn result(
    work: &Work,
    context: RunContext,
    monitor: &mut dyn JobMonitor,
) -> Result<TrainedRun, TrainError> {
    Ok(match work {
        Work::Compose(config) => {
            match ComposeRun::new((**config).clone(), context)?.run(monitor)? {
                ComposeOutcome::Composed { record, .. } => TrainedRun::of_bridges(&record),
                ComposeOutcome::Baseline(outcome) => TrainedRun::of_baseline(&outcome),
                ComposeOutcome::Served { .. } => unreachable!("no file can ask it to listen"),
            }
        }
        Work::Pretrain(config) => {
            let run = PretrainRun::new((**config).clone(), context)?;
            TrainedRun::of_model(&run.run(monitor)?)
        }
        Work::Frozen => unreachable!("it has no seed"),
    })
}

fn read(path: &Path) -> Result<TrainedRun, ExperimentError> {
    let text = fs::read(path).map_err(DataError::io(path))?;
    let run = serde_json::from_slice(&text).map_err(|error| {
        let reason = format!("{error}; delete the directory to train again");
        DataError::file(path, reason)
    });
    Ok(run?)
}

/// The record for this job: another experiment may have another name for the same training.
fn named(run: TrainedRun, plan: &Plan, job: &Job) -> TrainedRun {
    let system = job.system.map(|place| plan.frame.systems[place].id.clone());
    TrainedRun {
        system: system.unwrap_or_default(),
        seed: job.seed.unwrap_or_default(),
        directory: job.directory(&plan.store),
        ..run
    }
}
