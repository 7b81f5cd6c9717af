//! What can be wrong with the files of a dataset.

use std::path::PathBuf;

/// Why a file of a dataset cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// There is neither a dataset nor a file of that name.
    #[error(
        "there is no dataset '{name}' and no such file; did you mean '{nearest}'? See calm data \
         fetch --list"
    )]
    Unknown {
        /// What was asked for.
        name: String,
        /// The dataset whose name is most like it.
        nearest: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A line cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The file as a whole cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Files whose lines belong together have different numbers of them.
    #[error(
        "{} has {found} lines and {} has {expected}; one of them is cut short, or they do not \
         belong together",
        path.display(),
        other.display()
    )]
    Counts {
        /// The file.
        path: PathBuf,
        /// Its lines.
        found: usize,
        /// The file that it belongs to.
        other: PathBuf,
        /// The lines of that.
        expected: usize,
    },
}

impl DatasetError {
    pub(super) fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }

    pub(super) fn line(path: &std::path::Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Line {
            path: path.to_owned(),
            line,
            reason: reason.into(),
        }
    }

    pub(super) fn file(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
