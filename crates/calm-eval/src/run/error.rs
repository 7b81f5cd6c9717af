use std::io;
use std::path::{Path, PathBuf};

use crate::ScoreError;
use crate::tasks::TaskError;
use calm_sandbox::SandboxError;

/// What ends an evaluation early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A task or its data.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// Answers and references can't be scored.
    #[error("task '{task}': {source}")]
    Score {
        /// The task.
        task: String,
        /// Why.
        source: ScoreError,
    },
    /// Where programs are run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The model.
    #[cfg(feature = "models")]
    #[error(transparent)]
    Model(#[from] calm_models::ModelError),
    /// A file of the run.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file of a run is none.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory holds a run of something else.
    #[error(
        "{}: holds a run whose {differs} differs; give another directory with --out, or the \
         settings that it was begun with",
        path.display()
    )]
    OtherRun {
        /// Its run.json.
        path: PathBuf,
        /// What of it.
        differs: String,
    },
    /// There is no run.
    #[error("{}: is not there, so that this is no run of calm eval --task", path.display())]
    NoRun {
        /// The run.json that a run has.
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
    /// Another process is at it.
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
        /// What the model can read.
        context: usize,
    },
}

impl RunError {
    pub(super) fn score(task: &str, source: ScoreError) -> Self {
        let task = task.to_owned();
        Self::Score { task, source }
    }

    pub(super) fn in_use(path: &Path) -> Self {
        let path = path.to_owned();
        Self::InUse { path }
    }

    /// Why a file that every run has can't be read.
    pub(super) fn no_run(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NoRun {
                path: path.to_owned(),
            },
            _ => Self::io(path, source),
        }
    }

    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }

    pub(super) fn file(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_owned(), reason.into());
        Self::File { path, reason }
    }
}

impl From<calm_files::FileError> for RunError {
    fn from(calm_files::FileError { path, source }: calm_files::FileError) -> Self {
        Self::Io { path, source }
    }
}
