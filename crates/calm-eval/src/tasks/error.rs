use std::io;
use std::path::{Path, PathBuf};

use crate::bundle::Mistake;
use crate::datasets::DatasetError;

/// What can be wrong with a task or with its data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// There is neither a task nor a file of that name.
    #[error(
        "there is no task '{name}' and no such file; did you mean '{nearest}'? See calm eval --list"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The task whose name is most like it.
        nearest: String,
    },
    /// A task file can't be used.
    #[error("{}{place}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, if it is about one.
        place: String,
        /// What is wrong, and what would mend it.
        reason: String,
    },
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file can't be read as what it is.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file is not what the task takes it for.
    #[error("{}: {reason}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        reason: String,
    },
    /// The worked examples are missing.
    #[error(
        "{}: the task '{task}' takes {wanted} worked examples from this file, and there are {found}; \
         put the file there, or ask for fewer with --shots {found}",
        path.display()
    )]
    Shots {
        /// The task.
        task: String,
        /// Where they should be.
        path: PathBuf,
        /// How many the task wants.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// None of the files that a task reads is there.
    #[error("{}: the task '{task}' reads this file, which is not there; calm data fetch --list tells where it comes from", path.display())]
    NoData {
        /// The task.
        task: String,
        /// The file, `{language}` standing for one.
        path: PathBuf,
    },
    /// A language was asked for that there is no data of.
    #[error("the task '{task}' has no language '{language}'; {known}")]
    Language {
        /// The task.
        task: String,
        /// What was asked for.
        language: String,
        /// What there is, in words.
        known: String,
    },
    /// A template can't be rendered.
    #[error("task '{task}', {template}: {reason}")]
    Template {
        /// The task.
        task: String,
        /// Which one.
        template: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl TaskError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }

    pub(super) fn data(path: &Path, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.to_owned(), reason.into());
        Self::Data { path, reason }
    }

    /// What is wrong with a task file.
    pub(super) fn mistake(path: &Path, mistake: Mistake) -> Self {
        let place = mistake.line.map(|line| format!(", line {line}"));
        Self::File {
            path: path.to_owned(),
            place: place.unwrap_or_default(),
            reason: mistake.reason,
        }
    }
}
