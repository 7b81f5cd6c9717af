//! Errors of tables.

use std::path::PathBuf;

use calm_compose::ComposeError;
use calm_eval::ScoreError;
use calm_eval::run::RunError;
use calm_models::ModelError;
use calm_train::TrainError;

/// Why results make no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The frame names a system that it has not.
    #[error("the table's {role} is the system '{id}', which is none of its systems: {known}")]
    Frame {
        /// Part that the system plays.
        role: &'static str,
        /// Its id.
        id: String,
        /// Ids of the systems.
        known: String,
    },
    /// An evaluation belongs to a system or a task that the table has not.
    #[error(
        "{}: belongs to the {kind} '{id}', which the table has not; it has: {known}",
        directory.display()
    )]
    Unknown {
        /// The evaluation.
        directory: PathBuf,
        /// `system` or `task`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Ids that the table has.
        known: String,
    },
    /// There is nothing to show.
    #[error("there are no results to make a table of; give directories that calm eval --out wrote")]
    Empty,
    /// Results without the task that they belong to.
    #[error(
        "{}: has no results of the task '{task}'; it has: {found}",
        directory.display()
    )]
    NoTask {
        /// The evaluation.
        directory: PathBuf,
        /// Id of the task.
        task: String,
        /// Names of its tasks.
        found: String,
    },
    /// Two evaluations of the same.
    #[error(
        "{} and {}: both are the system '{system}', {seed}, on the task '{task}'; give one of them",
        first.display(),
        second.display()
    )]
    Twice {
        /// Id of the system.
        system: String,
        /// Id of the task.
        task: String,
        /// The seed, in words.
        seed: String,
        /// An evaluation.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Evaluations that cannot stand beside each other.
    #[error(
        "{} and {}: their {differs} of the task '{task}' differ, so their scores cannot be \
         compared; evaluate both anew with this program, on the same examples",
        first.display(),
        second.display()
    )]
    NotComparable {
        /// Id of the task.
        task: String,
        /// In what they differ.
        differs: &'static str,
        /// An evaluation.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Another metric than the table's.
    #[error(
        "{}: the task '{task}' was scored by {found}, and the table has it by {expected}",
        directory.display()
    )]
    Metric {
        /// The evaluation.
        directory: PathBuf,
        /// Id of the task.
        task: String,
        /// Signature of its metric.
        found: String,
        /// That of the table.
        expected: String,
    },
    /// Samples that are not those of the results.
    #[error(
        "{}: samples.jsonl and results.json do not belong together, task '{task}': {reason}; \
         evaluate anew",
        directory.display()
    )]
    Samples {
        /// The evaluation.
        directory: PathBuf,
        /// Id of the task.
        task: String,
        /// The reason.
        reason: String,
    },
    /// Samples cannot be scored.
    #[error("{}: task '{task}': {source}", directory.display())]
    Score {
        /// The evaluation.
        directory: PathBuf,
        /// Id of the task.
        task: String,
        /// The reason.
        source: ScoreError,
    },
    /// An expression that parts the examples.
    #[error("task '{task}', parts by '{title}': {reason}")]
    Parts {
        /// Id of the task.
        task: String,
        /// Title of the parts.
        title: String,
        /// The reason.
        reason: String,
    },
    /// An evaluation cannot be read.
    #[error(transparent)]
    Evaluation(#[from] RunError),
    /// A training run cannot be read.
    #[error(transparent)]
    Training(#[from] TrainError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] ModelError),
    /// A composition cannot be read.
    #[error(transparent)]
    Composition(#[from] ComposeError),
    /// A directory that is no run.
    #[error(
        "{}: {reason}; give directories that calm eval or calm compose wrote",
        directory.display()
    )]
    NoRun {
        /// The directory.
        directory: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// Two evaluations of models that have one name, and are not the same.
    #[error(
        "{} and {}: both are of the model '{model}', with other weights or settings; give the \
         evaluations of one of them, or put them into directories seed-0, seed-1, … if they are seeds \
         of one system",
        first.display(),
        second.display()
    )]
    OtherModel {
        /// Name of the model.
        model: String,
        /// An evaluation.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Evaluations without a common task.
    #[error(
        "{} and {}: have no task in common; make a report of runs of the same tasks",
        first.display(),
        second.display()
    )]
    NothingInCommon {
        /// An evaluation.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}
