//! What D_C draws records from.

use crate::builders::ntl::ENGLISH;
use crate::corpus::{CorporaManifest, CorpusRecord, LanguageTag};

/// What records are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Pairs of a low-resource language.
    Language(LanguageTag),
    /// Texts of a high-resource language, and pairs of it and another.
    HighResource(LanguageTag),
}

/// The language that a record teaches: of a pair the one beside English or another high-resource
/// language.
pub(super) fn language_of(manifest: &CorporaManifest, record: &CorpusRecord) -> LanguageTag {
    let is_low = |language: &LanguageTag| {
        language.as_str() != ENGLISH && !manifest.d_c.is_high_resource(*language)
    };
    let languages = || record.sides().map(|side| side.language);
    let not_english = || languages().find(|language| language.as_str() != ENGLISH);
    languages()
        .find(is_low)
        .or_else(not_english)
        .unwrap_or(record.source.language)
}

/// What D_C draws a record from: pairs of its language, or text of high-resource languages.
pub(super) fn group_of(manifest: &CorporaManifest, record: &CorpusRecord) -> Option<Group> {
    let language = language_of(manifest, record);
    match (manifest.d_c.is_high_resource(language), &record.target) {
        (true, _) => Some(Group::HighResource(language)),
        (false, Some(_)) => Some(Group::Language(language)),
        (false, None) => None,
    }
}
