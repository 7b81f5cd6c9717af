//! What readers of source code give.

use std::sync::Arc;

use super::CodeLanguage;
use crate::corpus::{Origin, Record};

/// A file of source code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The text.
    pub text: String,
    /// Its language.
    pub language: CodeLanguage,
    /// Its path in its tree, with `/` between names. May be empty if a row does not tell it.
    pub path: String,
    /// The tree that it is in: the name of a directory, or of a repository.
    pub tree: Arc<str>,
    /// Its licence, as an SPDX expression, if anything says it.
    pub licence: Option<Arc<str>>,
    /// SHA-256 of the text as it was read.
    pub sha256: String,
    /// Where it stands. Origins grow in the order of reading.
    pub origin: Origin,
}

impl Record for SourceFile {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.text.as_str())
    }
}
