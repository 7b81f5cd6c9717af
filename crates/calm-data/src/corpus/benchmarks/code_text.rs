//! CodeXGLUE code-to-text (arXiv 2102.04664): functions in six languages, to be summarised.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::DataError;
use crate::corpus::read::{json_lines, text_lines};

/// Languages, as their directories are called.
pub const LANGUAGES: [&str; 6] = ["go", "java", "javascript", "php", "python", "ruby"];

/// A function and its summary.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CodeText {
    /// One of [`LANGUAGES`].
    pub language: String,
    /// The function, with its comment.
    pub code: String,
    /// The function as tokens, without its comment.
    pub code_tokens: Vec<String>,
    /// The comment.
    pub docstring: String,
    /// Its first paragraph as tokens: the target.
    pub docstring_tokens: Vec<String>,
}

impl CodeText {
    /// Text that a model reads: tokens with single spaces between them, as the benchmark's own
    /// programs prepare it.
    pub fn source(&self) -> String {
        one_line(&self.code_tokens)
    }

    /// Text that it should write, likewise.
    pub fn target(&self) -> String {
        one_line(&self.docstring_tokens)
    }
}

/// Tokens may have line ends and several spaces in them.
fn one_line(tokens: &[String]) -> String {
    let words = tokens.iter().flat_map(|token| token.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}

/// The functions of a split, such as `ruby/test.jsonl`.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is no such record, is of
/// another language than the six, or has no summary.
pub fn code_text(path: &Path) -> Result<Vec<CodeText>, DataError> {
    let records: Vec<CodeText> = json_lines(path)?;
    for (index, record) in records.iter().enumerate() {
        let error = |reason: String| Err(DataError::line(path, index + 1, reason));
        if !LANGUAGES.contains(&&*record.language) {
            let known = LANGUAGES.join(", ");
            return error(format!(
                "its language {:?} is none of {known}",
                record.language
            ));
        }
        if record.target().is_empty() {
            return error("its `docstring_tokens` are empty".to_owned());
        }
    }
    Ok(records)
}

/// A file of the benchmark's evaluator: an index, a tab, a text. A prediction may be empty.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that has no index or one that
/// an earlier line has.
pub fn indexed_texts(path: &Path) -> Result<BTreeMap<u64, String>, DataError> {
    let mut texts = BTreeMap::new();
    for (number, line) in text_lines(path)?.into_iter().enumerate() {
        let (index, text) = line.split_once('\t').unwrap_or((&line, ""));
        let index = index.trim().parse().map_err(|_| {
            let reason = format!("begins with {index:?} instead of an index and a tab");
            DataError::line(path, number + 1, reason)
        })?;
        if texts.insert(index, text.to_owned()).is_some() {
            let reason = format!("has the index {index} of an earlier line");
            return Err(DataError::line(path, number + 1, reason));
        }
    }
    Ok(texts)
}

/// Predictions with their references, joined on their indices.
///
/// # Errors
///
/// [`DataError`] as [`indexed_texts`], or naming an index that only one of the files has.
pub fn predictions(
    predicted: &Path,
    references: &Path,
) -> Result<Vec<(String, String)>, DataError> {
    let mut hypotheses = indexed_texts(predicted)?;
    let mut pairs = Vec::new();
    for (index, reference) in indexed_texts(references)? {
        let hypothesis = hypotheses.remove(&index).ok_or_else(|| {
            let reason = format!(
                "has no prediction for index {index} of {}",
                references.display()
            );
            DataError::file(predicted, reason)
        })?;
        pairs.push((hypothesis, reference));
    }
    match hypotheses.keys().next() {
        Some(index) => {
            let reason = format!("has index {index}, which {} lacks", references.display());
            Err(DataError::file(predicted, reason))
        }
        None => Ok(pairs),
    }
}
