//! Why a template cannot be read or rendered.

use std::fmt;

/// A template that is none, or that refuses or fails to write a text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TemplateError {
    /// The fault.
    pub kind: ErrorKind,
    /// 1-based line of the template; of a statement, its first.
    pub line: usize,
}

/// Kinds of errors, with their messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no template.
    #[error("syntax error: {0}")]
    Syntax(String),
    /// An operation that Python refuses, or one that is not offered here.
    #[error("{0}")]
    Failed(String),
    /// `raise_exception`, by which templates refuse conversations.
    #[error("{0}")]
    Raised(String),
    /// The bounds of time or memory are reached.
    #[error("the chat template runs too long or makes too much text; it may never end")]
    Exhausted,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (in chat_template:{})", self.kind, self.line)
    }
}

impl std::error::Error for TemplateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// The result of running a part of a template.
pub(crate) type Outcome<T> = Result<T, ErrorKind>;

/// Fails with a message.
pub(crate) fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(ErrorKind::Failed(message.into()))
}
