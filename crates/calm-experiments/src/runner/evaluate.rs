//! Evaluating what a job loads or has trained, on every task.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use calm_compose::Composition;
use calm_data::DataError;
use calm_eval::run::{Answering, Decoding, EvaluationDirectory, PromptOverflow, Results, RunError};
use serde::{Deserialize, Serialize};

use super::attention::attention;
use super::model::Model;
use super::{JobMonitor, Monitor, RunnerOptions};
use crate::ExperimentError;
use crate::plan::{Job, Plan, PlannedTask};
use crate::table::{AttentionSample, Evaluated, SystemKind};

/// File that says that an evaluation came to its end, and what it cost.
const EVALUATED: &str = "evaluated.json";

/// Seed of the bootstrap of intervals. Decoding is greedy.
const SEED: u64 = 0;

/// Cost of an evaluation.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Wall-clock seconds, those of earlier processes included.
    seconds: f64,
}

/// What decides the texts of a model: the hash of everything that it was made from.
#[derive(Serialize)]
struct Identity<'a> {
    name: &'a str,
    key: &'a str,
}

/// Scores and samples of all tasks, and the attention of bridges.
type Found = (Vec<Evaluated>, Vec<AttentionSample>);

/// Whether the result of an evaluation is there.
pub(super) fn is_evaluated(directory: &Path) -> bool {
    directory.join(EVALUATED).is_file()
}

/// Evaluates the model of a job on all tasks, or goes on with that. Breaks if the monitor ended it.
pub(super) fn evaluate(
    plan: &Plan,
    job: &Job,
    options: &RunnerOptions,
    monitor: &dyn Monitor,
    of_job: &mut dyn JobMonitor,
) -> Result<ControlFlow<(), Found>, ExperimentError> {
    let Some(system) = job.system else {
        return Ok(ControlFlow::Continue(Found::default()));
    };
    let system = &plan.frame.systems[system];
    let mut model = Model::new(plan, job, options);
    let mut evaluated = Vec::new();
    for task in &plan.tasks {
        let directory = plan.store.cell(&job.cell(task));
        if !is_evaluated(&directory) {
            let composition = model.get()?;
            let done = answer(
                (plan, job, task),
                options,
                composition,
                &directory,
                monitor,
                of_job,
            );
            if done?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let read = || -> Result<_, RunError> {
            let results = EvaluationDirectory::results(&directory)?;
            Ok((results, EvaluationDirectory::samples(&directory)?))
        };
        let (results, samples) =
            read().map_err(|source| ExperimentError::evaluation(&job.title, source))?;
        evaluated.push(Evaluated {
            system: system.id.clone(),
            task: task.frame.id.clone(),
            seed: job.seed,
            results,
            samples,
            seconds: record(&directory)?.seconds,
            directory,
        });
    }
    // One system is shown, by its first seed.
    let is_first = plan.jobs.iter().find(|other| other.system == job.system);
    let is_shown = system.id == plan.frame.main
        && system.kind == SystemKind::Composed
        && is_first.is_some_and(|first| first.key == job.key);
    let attention = match is_shown {
        true => attention(plan, job, &evaluated, &mut model)?,
        false => Vec::new(),
    };
    Ok(ControlFlow::Continue((evaluated, attention)))
}

fn record(directory: &Path) -> Result<Record, ExperimentError> {
    let path = directory.join(EVALUATED);
    let text = fs::read(&path).map_err(DataError::io(&path))?;
    let record = serde_json::from_slice(&text);
    Ok(record.map_err(|error| DataError::file(&path, error.to_string()))?)
}

/// Answers all examples of a task that have no answer yet.
fn answer(
    (plan, job, task): (&Plan, &Job, &PlannedTask),
    options: &RunnerOptions,
    composition: &Composition,
    directory: &Path,
    monitor: &dyn Monitor,
    of_job: &mut dyn JobMonitor,
) -> Result<ControlFlow<()>, ExperimentError> {
    let begun = Instant::now();
    let _lock = plan.store.lock(&job.cell(task))?;
    if is_evaluated(directory) {
        return Ok(ControlFlow::Continue(()));
    }
    let wrong = |source: RunError| ExperimentError::evaluation(&job.title, source);
    let scorers = task.evaluation.scorers(&options.sandbox).map_err(wrong)?;
    let answering = Answering {
        model: &composition.model,
        tokenizer: composition.tokenizer(),
        end_of_text: &composition.anchor.model.special.eos,
        decoding: Decoding {
            rows: task.rows,
            too_long: PromptOverflow::Error,
        },
    };
    let identity = Identity {
        name: &job.title,
        key: &job.key,
    };
    let total = task.evaluation.examples();
    let watch = |done: usize| {
        of_job.answered(&task.frame.title, done, total);
        match monitor.wants_to_stop() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let evaluation = &task.evaluation;
    let found = evaluation.run(&answering, &identity, &scorers, directory, SEED, watch);
    let mut results: Results = match found.map_err(wrong)? {
        ControlFlow::Break(_) => return Ok(ControlFlow::Break(())),
        ControlFlow::Continue(results) => results,
    };
    results.commit.clone_from(&options.commit);
    EvaluationDirectory::finish(directory, &results).map_err(wrong)?;
    let record = Record {
        seconds: begun.elapsed().as_secs_f64(),
    };
    let text = serde_json::to_vec_pretty(&record).expect("a record is plain data");
    calm_files::write(directory.join(EVALUATED), text)?;
    Ok(ControlFlow::Continue(()))
}
