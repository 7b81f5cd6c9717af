//! Errors of evaluation runs.

use std::io;
use std::path::{Path, PathBuf};

use calm_data::DataError;
use calm_sandbox::SandboxError;

use crate::ScoreError;
use crate::tasks::TaskError;

/// Why an evaluation ends early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A task, or its data.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Answers cannot be scored.
    #[error("task '{task}': {source}")]
    Score {
        /// The task.
        task: String,
        /// The reason.
        source: ScoreError,
    },
    /// The sandbox of generated programs.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The model.
    #[cfg(feature = "models")]
    #[error(transparent)]
    Model(#[from] calm_models::ModelError),
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    File(#[from] DataError),
    /// The directory holds a run of something else.
    #[error(
        "{}: holds a run whose {differs} differs; give another directory with --out, or the \
         settings that it was begun with",
        path.display()
    )]
    OtherRun {
        /// Its run.json.
        path: PathBuf,
        /// The setting that differs.
        differs: String,
    },
    /// There is no run.
    #[error("{}: is not there, so that this is no run of calm eval --task", path.display())]
    NoRun {
        /// The run.json of a run.
        path: PathBuf,
    },
    /// A run has no scores yet.
    #[error(
        "{}: this run was ended before its end; the command that it was begun with goes on with it",
        path.display()
    )]
    Unfinished {
        /// The directory.
        path: PathBuf,
    },
    /// A file of another version of the program.
    #[error(
        "{}: has layout {found}, and this program reads {expected}; evaluate anew, or read it with \
         the program that wrote it",
        path.display()
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// That of this program.
        expected: u32,
    },
    /// Another process works on this run.
    #[error(
        "{}: another process goes on with this run; wait for it, or give another directory with --out",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Two runs have nothing in common.
    #[error("the two runs have no task and language in common; compare runs of the same tasks")]
    NothingInCommon,
    /// A prompt leaves no room for an answer.
    #[error(
        "task '{task}', example {index}: its prompt has {tokens} tokens, and the model reads \
         {context}; cut off the beginnings of prompts with --too-long truncate, or ask for fewer \
         worked examples with --shots"
    )]
    TooLong {
        /// The task.
        task: String,
        /// The example.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// Context of the model, in tokens.
        context: usize,
    },
}

impl RunError {
    pub(super) fn score(task: &str, source: ScoreError) -> Self {
        let task = task.to_owned();
        Self::Score { task, source }
    }

    /// Error of a file that every run has.
    pub(super) fn no_run(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoRun {
                path: path.to_owned(),
            },
            _ => DataError::io(path)(source).into(),
        }
    }
}

impl From<calm_files::FileError> for RunError {
    fn from(error: calm_files::FileError) -> Self {
        Self::File(error.into())
    }
}
