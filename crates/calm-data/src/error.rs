//! What can be wrong with data.

use std::path::{Path, PathBuf};

/// Errors of this crate. Every message says what was wrong, where, and what would mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A setting of a dataset builder is out of its range.
    #[error("key-value setting `{field}` is {found}; it may be {expected}")]
    Config {
        /// Name of the setting.
        field: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A line of a JSON Lines file cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to train on or to evaluate.
    #[error("{}: holds no example; each line should be an object with `prompt` and `target`", path.display())]
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
    /// Nothing stands before the target from which its first token could be predicted.
    #[error(
        "example {example}: the prompt has no token, and the tokenizer puts none before a text; \
         write a prompt"
    )]
    EmptyPrompt {
        /// 0-based example.
        example: usize,
    },
    /// A target that is empty has nothing to be learnt or scored.
    #[error("example {example}: the target has no token")]
    EmptyTarget {
        /// 0-based example.
        example: usize,
    },
    /// A text that is empty has nothing to be learnt.
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
        /// The longest that the models can read.
        context: usize,
    },
    /// The tokenizer failed on a text.
    #[error("example {example}: the tokenizer refused it: {reason}")]
    Tokenizer {
        /// 0-based example.
        example: usize,
        /// Its answer.
        reason: String,
    },
    /// An example of a file cannot be used.
    #[error("{}: {source}", path.display())]
    Example {
        /// The file.
        path: PathBuf,
        /// What is wrong with the example.
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
        /// How many it has.
        examples: usize,
        /// The longest that the models can read.
        context: usize,
    },
    /// A file is not the one that its hash was computed of a moment ago.
    #[error(
        "{}: was changed while it was read; start again once it is complete",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl DataError {
    /// What becomes of the system's answer about a file.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            path: path.clone(),
            source,
        }
    }
}

impl From<calm_files::FileError> for DataError {
    fn from(calm_files::FileError { path, source }: calm_files::FileError) -> Self {
        Self::Io { path, source }
    }
}
