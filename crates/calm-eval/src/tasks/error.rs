//! Errors of tasks and their data.

use std::path::PathBuf;

use calm_data::DataError;

/// Why a task, or its data, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// A task file, or a file of its data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There are too few worked examples.
    #[error(
        "{}: the task '{task}' takes {wanted} worked examples from this file, and there are {found}; \
         put the file there, or ask for fewer with --shots {found}",
        path.display()
    )]
    Shots {
        /// The task.
        task: String,
        /// Their file.
        path: PathBuf,
        /// Number of them that the task takes.
        wanted: usize,
        /// Number of them in the file.
        found: usize,
    },
    /// A task without a place for worked examples.
    #[error("--shots: the task '{task}' takes no worked examples; leave it out")]
    NoShots {
        /// The task.
        task: String,
    },
    /// A file cannot take the place of a task's own.
    #[error("{flag}: the task '{task}' {reason}")]
    GivenFile {
        /// The flag that names it.
        flag: &'static str,
        /// The task.
        task: String,
        /// The reason.
        reason: &'static str,
    },
    /// None of the task's files is there.
    #[error("{}: the task '{task}' reads this file, which is not there; calm data fetch --list tells where it comes from", path.display())]
    NoData {
        /// The task.
        task: String,
        /// The file; `{language}` stands for a language.
        path: PathBuf,
    },
    /// There is no data of a language.
    #[error("the task '{task}' has no language '{language}'; {known}")]
    Language {
        /// The task.
        task: String,
        /// The requested language.
        language: String,
        /// The available ones, in words.
        known: String,
    },
    /// A template cannot be rendered.
    #[error("task '{task}', {template}: {reason}")]
    Template {
        /// The task.
        task: String,
        /// Name of the template.
        template: &'static str,
        /// The reason.
        reason: String,
    },
}
