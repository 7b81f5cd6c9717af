use std::io;
use std::path::{Path, PathBuf};

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
        "{}: holds the {wanted} worked examples of the task '{task}', of which there are {found}; put \
         the file there, or ask for fewer with --shots {found}",
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
    #[error("{}: the task '{task}' reads this file, which is not there; see docs/evaluation.md for where it comes from", path.display())]
    NoData {
        /// The task.
        task: String,
        /// The file, `{language}` standing for one.
        path: PathBuf,
    },
    /// A language was asked for that there is no data of.
    #[error("the task '{task}' has no language '{language}'; there are: {known}")]
    Language {
        /// The task.
        task: String,
        /// What was asked for.
        language: String,
        /// What there is.
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

    /// What the TOML reader found, with the line, and the name that a mistyped one is most like.
    pub(super) fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let place = error
            .span()
            .map(|span| format!(", line {}", line(span.start)));
        let message = error.message().lines().next().unwrap_or_default();
        let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let reason = match quoted.split_first() {
            Some((found, known)) if message.starts_with("unknown") && !known.is_empty() => {
                format!(
                    "unknown key or value '{found}'; did you mean '{}'?",
                    nearest(found, known)
                )
            }
            _ => message.to_owned(),
        };
        Self::File {
            path: path.to_owned(),
            place: place.unwrap_or_default(),
            reason,
        }
    }
}

/// The name that is most like this one; empty if there is none.
#[must_use]
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> &'a str {
    let likeness = |known: &&&str| strsim::jaro_winkler(name, known);
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.copied().unwrap_or_default()
}
