//! Files of a task's records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Placeholder of a language in a path.
const LANGUAGE: &str = "{language}";

/// A file of records, or one for each language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Format of the file.
    pub format: Format,
    /// Its path below the data directory; `{language}` stands for a language.
    #[serde(default)]
    pub file: Option<String>,
    /// For `lines`: files of equally many lines, by field.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// For `tsv`: names of the columns.
    #[serde(default)]
    pub columns: Vec<String>,
    /// For `json` and `python`: JSON pointer to the records.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Expression over the fields of a record, which is kept if it holds.
    #[serde(default)]
    pub keep: Option<String>,
    /// Languages to leave out, though there are files.
    #[serde(default)]
    pub except: Vec<String>,
    /// The file to read in place of its own, wherever it is. No part of the task: only the content of
    /// data counts.
    #[serde(skip)]
    pub given: Option<GivenFile>,
}

/// A file that takes the place of a task's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFile {
    /// The file.
    pub path: PathBuf,
    /// The language that it is of; empty if the task has none.
    pub language: String,
}

/// Format of a file of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object on each line; packed with gzip if the name ends in `.gz`.
    Jsonl,
    /// A JSON array of objects, or an object of them.
    Json,
    /// A Python module of literals, read as an object of its assignments.
    Python,
    /// Columns between tabs, without quotes or header.
    Tsv,
    /// A text on each line, of several files in parallel.
    Lines,
}

impl DataSource {
    pub(super) fn check(&self) -> Result<(), String> {
        let is_lines = self.format == Format::Lines;
        if is_lines == self.file.is_some() || is_lines == self.fields.is_empty() {
            return Err("give `fields` for the format lines, and `file` for any other".to_owned());
        }
        if (self.format == Format::Tsv) == self.columns.is_empty() {
            return Err("give `columns` for the format tsv, and for no other".to_owned());
        }
        let leads_out =
            |path: &&str| path.split('/').any(|part| part == "..") || path.starts_with('/');
        match self.paths().find(leads_out) {
            Some(path) => Err(format!("the path {path} leads out of the data directory")),
            None => Ok(()),
        }
    }

    /// Whether its files are of one language each.
    pub(super) fn has_languages(&self) -> bool {
        self.path().contains(LANGUAGE)
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.file
            .iter()
            .chain(self.fields.values())
            .map(String::as_str)
    }

    /// The path whose files show the available languages, or else the only path.
    pub(super) fn path(&self) -> &str {
        let named = self.paths().find(|path| path.contains(LANGUAGE));
        named.or_else(|| self.paths().next()).unwrap_or_default()
    }

    /// Languages that have files in this directory, sorted; the empty name if the task has none.
    pub(super) fn languages(&self, directory: &Path) -> Vec<String> {
        if let Some(given) = &self.given {
            return vec![given.language.clone()];
        }
        let path = self.path();
        if !path.contains(LANGUAGE) {
            return vec![String::new()];
        }
        let parts: Vec<&str> = path.split('/').collect();
        let at = parts
            .iter()
            .position(|part| part.contains(LANGUAGE))
            .unwrap_or(0);
        let parent = directory.join(parts[..at].join("/"));
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let found = names.filter_map(|name| language_of(&name, parts[at]));
        let is_there = |language: &String| {
            let of = |path: &str| of_language(directory, path, language).is_file();
            self.paths().all(of) && !self.except.contains(language)
        };
        let mut found: Vec<String> = found.filter(is_there).collect();
        found.sort();
        found
    }

    /// The file of a language.
    pub(super) fn file_of(&self, directory: &Path, language: &str) -> PathBuf {
        if let Some(given) = &self.given {
            return given.path.clone();
        }
        of_language(directory, self.path(), language)
    }

    /// All files of a language with the fields that they hold.
    pub(super) fn files_of(&self, directory: &Path, language: &str) -> Vec<(&str, PathBuf)> {
        let fields = self.fields.iter();
        fields
            .map(|(field, path)| (field.as_str(), of_language(directory, path, language)))
            .collect()
    }
}

fn of_language(directory: &Path, path: &str, language: &str) -> PathBuf {
    directory.join(path.replace(LANGUAGE, language))
}

/// Language in a name that matches a pattern, which may contain it several times.
fn language_of(name: &str, pattern: &str) -> Option<String> {
    let rest = name.strip_prefix(pattern.split(LANGUAGE).next()?)?;
    let ends = rest.char_indices().map(|(at, char)| at + char.len_utf8());
    let mut languages = ends.map(|end| &rest[..end]);
    let found = languages.find(|language| pattern.replace(LANGUAGE, language) == name);
    found.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_found_in_a_name() {
        let of = |name, pattern| language_of(name, pattern);
        assert_eq!(
            of("mgsm_sw.tsv", "mgsm_{language}.tsv").as_deref(),
            Some("sw")
        );
        let twice = "dev.{language}-en.{language}";
        assert_eq!(of("dev.ne-en.ne", twice).as_deref(), Some("ne"));
        assert_eq!(of("dev.ne-en.en", twice), None);
        assert_eq!(of("mgsm_.tsv", "mgsm_{language}.tsv"), None);
    }
}
