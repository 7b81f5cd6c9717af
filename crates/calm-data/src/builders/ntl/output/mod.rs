//! D_NTL and D_C from the corpora of a manifest.
//!
//! | file | holds |
//! | --- | --- |
//! | `pretrain.jsonl` | `text`: texts, and pairs below each other as documents, in both directions |
//! | `translation.jsonl` | `prompt` and `target` in both directions, with worked examples or none |
//! | `d_c.jsonl` | a share of the pairs of each language as translations, and high-resource text |
//! | `manifest.json` | inputs, settings, counts, and examples of what was dropped |
//!
//! The bytes depend on the corpora, the manifest and its seed alone.

mod collector;
mod few_shot;
mod groups;
mod report;

use serde::Serialize;

pub use collector::Collector;
pub use report::{DcCounts, Drawn, LanguageCounts, Report};

pub use crate::builders::shared::{Inputs, WrittenFile};
use crate::corpus::{CorpusRecord, CorpusSpec, LanguageTag};

/// Changes when the same corpora and settings would give other bytes.
pub const BUILDER_VERSION: u32 = 2;

/// A text of one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TextRow<'a> {
    text: &'a str,
    language: LanguageTag,
    source_corpus: &'a str,
}

impl<'a> TextRow<'a> {
    fn of(record: &'a CorpusRecord, corpus: &'a CorpusSpec) -> Self {
        Self {
            text: &record.source.text,
            language: record.source.language,
            source_corpus: &corpus.name,
        }
    }
}

#[cfg(test)]
mod tests;
