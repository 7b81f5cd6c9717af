//! What readers of corpora give.

use std::fmt::Debug;

use serde::Serialize;

use super::LanguageTag;

/// A text in a language.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Segment {
    /// Its language.
    pub language: LanguageTag,
    /// The text, as the corpus has it.
    pub text: String,
}

/// Where a record stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Index of the corpus in its manifest.
    pub corpus: u32,
    /// Index of the file in its corpus.
    pub file: u32,
    /// Its line in the file, or row, or translation unit, from 1.
    pub place: u64,
}

/// What all readers of corpora give, be it text of languages or code.
pub trait Record: Debug + Clone + Send {
    /// Where it stands. Origins grow in the order of reading.
    fn origin(&self) -> Origin;

    /// Its texts.
    fn texts(&self) -> impl Iterator<Item = &str>;

    /// Bytes of its texts.
    fn bytes(&self) -> usize {
        self.texts().map(str::len).sum()
    }
}

/// A text of a corpus, with its translation if the corpus is parallel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusRecord {
    /// The text; in a parallel corpus that of the first language.
    pub source: Segment,
    /// Its translation, in a parallel corpus. The text may be empty.
    pub target: Option<Segment>,
    /// Where it stands. Origins grow in the order of reading.
    pub origin: Origin,
}

impl CorpusRecord {
    /// Its one or two texts.
    pub fn sides(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.source).chain(&self.target)
    }

    /// The same, to be changed.
    pub fn sides_mut(&mut self) -> impl Iterator<Item = &mut Segment> {
        std::iter::once(&mut self.source).chain(&mut self.target)
    }
}

impl Record for CorpusRecord {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.sides().map(|side| side.text.as_str())
    }
}
