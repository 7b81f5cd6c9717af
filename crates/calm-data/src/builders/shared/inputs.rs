//! What was read.

use std::collections::BTreeMap;
use std::path::Path;

use super::Skipped;
use crate::corpus::{InputFile, Skip};

/// What was read: files, and records that readers passed over, by corpus.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The manifest, for messages.
    pub manifest: &'a Path,
    /// Files of each corpus.
    pub files: &'a [Vec<InputFile>],
    /// Index of the corpus, reason, number.
    pub skipped: &'a Skipped,
}

impl Inputs<'_> {
    /// Files of a corpus.
    pub(in crate::builders) fn files_of(&self, corpus: u32) -> Vec<InputFile> {
        let files = self.files.get(corpus as usize);
        files.cloned().unwrap_or_default()
    }

    /// What the reader passed over of a corpus.
    pub(in crate::builders) fn skipped_of(&self, corpus: u32) -> BTreeMap<Skip, u64> {
        let of = self.skipped.iter();
        let of = of.filter(|((index, _), _)| *index == corpus);
        of.map(|((_, reason), count)| (*reason, *count)).collect()
    }
}
