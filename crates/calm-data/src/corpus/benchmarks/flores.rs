//! FLORES-200 (arXiv 2207.04672), its successor FLORES+, and FLoRes v1 (arXiv 1902.01382): the same
//! sentences in many languages.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::DataError;
use crate::corpus::read::{check_counts, json_lines, whole_lines};

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// For tuning settings and for worked examples.
    Dev,
    /// For reported scores.
    DevTest,
}

impl Split {
    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::DevTest => "devtest",
        }
    }
}

/// The sentences of a language, from the directory that FLORES-200 unpacks to: the file
/// `dev/eng_Latn.dev` or `devtest/eng_Latn.devtest`.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, is not UTF-8, is cut short, or has an empty sentence.
pub fn flores_200(
    directory: &Path,
    split: Split,
    language: &str,
) -> Result<Vec<String>, DataError> {
    let name = split.name();
    let path = directory.join(name).join(format!("{language}.{name}"));
    let sentences = whole_lines(&path)?;
    check_sentences(&path, &sentences)?;
    Ok(sentences)
}

/// A sentence of FLORES+.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FloresPlus {
    /// The same in all languages.
    pub id: u64,
    /// ISO 639-3 code of the language.
    pub iso_639_3: String,
    /// ISO 15924 code of the script.
    pub iso_15924: String,
    /// The sentence.
    pub text: String,
}

/// The sentences of a language, from a JSON Lines file of FLORES+, in order of their ids.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is no such record.
pub fn flores_plus(path: &Path) -> Result<Vec<FloresPlus>, DataError> {
    let mut records: Vec<FloresPlus> = json_lines(path)?;
    for (index, record) in records.iter().enumerate() {
        if record.text.trim().is_empty() {
            return Err(DataError::line(path, index + 1, "its `text` is empty"));
        }
    }
    records.sort_by_key(|record| record.id);
    if let Some(pair) = records.windows(2).find(|pair| pair[0].id == pair[1].id) {
        let reason = format!(
            "has the `id` {} twice; give one split of one language",
            pair[0].id
        );
        return Err(DataError::file(path, reason));
    }
    Ok(records)
}

/// A sentence of FLoRes v1 with its translation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloresPair {
    /// In the first language of the pair, such as Nepali.
    pub source: String,
    /// In English.
    pub target: String,
    /// Title of the article that it is from.
    pub article: String,
}

/// The sentences of a pair of languages, such as `ne-en`, from the directory of FLoRes v1: the files
/// `wikipedia.SPLIT.PAIR.` with the endings `ne`, `en` and `doc_id`.
///
/// # Errors
///
/// [`DataError`] if a file cannot be read, is not UTF-8, is cut short, has an empty sentence, or
/// if they have different numbers of lines.
pub fn flores_v1(directory: &Path, split: Split, pair: &str) -> Result<Vec<FloresPair>, DataError> {
    let (source, target) = pair.split_once('-').ok_or_else(|| {
        let reason = format!("'{pair}' is no pair of languages; give one such as ne-en");
        DataError::file(directory, reason)
    })?;
    let path = |ending: &str| -> PathBuf {
        directory.join(format!("wikipedia.{}.{pair}.{ending}", split.name()))
    };
    let paths = [source, target, "doc_id"].map(path);
    let sources = whole_lines(&paths[0])?;
    let targets = whole_lines(&paths[1])?;
    let articles = whole_lines(&paths[2])?;
    check_counts(&paths[1], targets.len(), &paths[0], sources.len())?;
    check_counts(&paths[2], articles.len(), &paths[0], sources.len())?;
    check_sentences(&paths[0], &sources)?;
    check_sentences(&paths[1], &targets)?;
    let pairs = sources.into_iter().zip(targets).zip(articles);
    let pairs = pairs.map(|((source, target), article)| FloresPair {
        source,
        target,
        article,
    });
    Ok(pairs.collect())
}

/// Checks that no sentence is empty.
fn check_sentences(path: &Path, sentences: &[String]) -> Result<(), DataError> {
    match sentences.iter().position(|text| text.trim().is_empty()) {
        Some(index) => Err(DataError::line(path, index + 1, "the sentence is empty")),
        None => Ok(()),
    }
}
