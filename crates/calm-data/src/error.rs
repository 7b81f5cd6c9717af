//! Errors of this crate.

use std::io;
use std::path::{Path, PathBuf};

use crate::TokenizeError;

/// Errors of this crate. Every message says what is wrong, where, and what mends it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A setting of a dataset builder is out of its range.
    #[error("{builder} setting `{field}` is {found}; it may be {expected}")]
    Setting {
        /// The builder.
        builder: &'static str,
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: String,
    },
    /// There is neither a bundled file nor a file of that name.
    #[error("there is no {kind} '{name}' and no such file; did you mean '{nearest}'? See {list}")]
    Unknown {
        /// Kind of the file.
        kind: &'static str,
        /// The given name.
        name: String,
        /// The most similar name.
        nearest: String,
        /// Command that lists the bundled files.
        list: &'static str,
    },
    /// A line of a file cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// The reason.
        reason: String,
    },
    /// A row of a file that has no lines cannot be used.
    #[error("{}, row {row}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// 1-based row.
        row: usize,
        /// The reason.
        reason: String,
    },
    /// A file as a whole cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Files whose lines belong together have different numbers of lines.
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
        /// Lines of the other file.
        expected: usize,
    },
    /// A file of examples holds none.
    #[error("{}: holds no example; each row should have a `prompt` and a `target`, `messages`, or a `text`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A word is not in the vocabulary of the models.
    #[error(
        "example {example}: {word:?} is not one token of this vocabulary; use the tokenizer that \
         the dataset was built with"
    )]
    UnknownWord {
        /// 0-based example.
        example: usize,
        /// The word.
        word: String,
    },
    /// No token stands before the target, from which its first token could be predicted.
    #[error(
        "example {example}: the prompt has no token, and the tokenizer puts none before a text; \
         write a prompt"
    )]
    EmptyPrompt {
        /// 0-based example.
        example: usize,
    },
    /// A target without tokens teaches nothing and cannot be scored.
    #[error("example {example}: the target has no token")]
    EmptyTarget {
        /// 0-based example.
        example: usize,
    },
    /// A conversation needs a chat template.
    #[error(
        "example {example}: is a conversation, and the model has no chat template to write it with; \
         add one to the model, or give prompts and targets"
    )]
    NoChat {
        /// 0-based example.
        example: usize,
    },
    /// A plain text asks nothing.
    #[error(
        "example {example}: is a plain text, to which there is no right answer; give prompts and \
         targets, or take the perplexity"
    )]
    NoQuestion {
        /// 0-based example.
        example: usize,
    },
    /// A text without tokens teaches nothing.
    #[error("example {example}: the text has no token")]
    EmptyText {
        /// 0-based example.
        example: usize,
    },
    /// An example does not fit the models.
    #[error("example {example}: {tokens} tokens do not fit the context of {context}; shorten it")]
    TooLong {
        /// 0-based example.
        example: usize,
        /// Its tokens, end of text included.
        tokens: usize,
        /// Context of the models, in tokens.
        context: usize,
    },
    /// The tokenizer failed on a text.
    #[error("example {example}: {source}")]
    Tokenizer {
        /// 0-based example.
        example: usize,
        /// The tokenizer's error.
        source: TokenizeError,
    },
    /// An example of a file cannot be used.
    #[error("{}: {source}", path.display())]
    Example {
        /// The file.
        path: PathBuf,
        /// The fault of the example.
        source: Box<DataError>,
    },
    /// Every example was left out, since none fits the models.
    #[error(
        "{}: none of its {examples} examples fits the context of {context}; shorten them, or have \
         them truncated",
        path.display()
    )]
    AllTooLong {
        /// The file.
        path: PathBuf,
        /// Number of its examples.
        examples: usize,
        /// Context of the models, in tokens.
        context: usize,
    },
    /// A file changed between hashing and reading it.
    #[error(
        "{}: was changed while it was read; start again once it is complete",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Somebody asked for an end, before anything was written.
    #[error(
        "interrupted; nothing is written, and what was there before is as it was. The same command \
         begins again"
    )]
    Interrupted,
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl DataError {
    /// Names the path in an error of the system; for `map_err`.
    pub fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            path: path.clone(),
            source,
        }
    }

    /// A [`DataError::Setting`].
    pub fn setting(
        builder: &'static str,
        field: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Setting {
            builder,
            field,
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// A [`DataError::Line`].
    pub fn line(path: &Path, line: usize, reason: impl Into<String>) -> Self {
        Self::Line {
            path: path.to_owned(),
            line,
            reason: reason.into(),
        }
    }

    /// A [`DataError::Row`].
    pub fn row(path: &Path, row: usize, reason: impl Into<String>) -> Self {
        Self::Row {
            path: path.to_owned(),
            row,
            reason: reason.into(),
        }
    }

    /// A [`DataError::File`].
    pub fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

impl From<calm_files::FileError> for DataError {
    fn from(calm_files::FileError { path, source }: calm_files::FileError) -> Self {
        Self::Io { path, source }
    }
}
