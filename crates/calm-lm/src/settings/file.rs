//! A file of keys, checked against the flags of a verb.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use calm_lm::data::bundle::nearest;
use clap::Command;
use toml::de::DeTable;

use super::key::Key;
use super::keys;
use crate::failure::Failure;

/// Far more than anybody writes.
const MAX_BYTES: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    line: usize,
    /// Of a command line.
    words: Vec<String>,
}

impl ConfigFile {
    /// Reads what is said of the flags of this verb.
    pub(super) fn read(path: &Path, verb: &Command) -> Result<Self, Failure> {
        let text = read_text(path)?;
        let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
        let wrong = |at: usize, reason: String| Failure::Config {
            place: place(path, line(at)),
            reason,
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            wrong(start, error.message().replace('\n', ", "))
        })?;
        let keys: Vec<Key<'_>> = keys(verb).collect();
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut entries = BTreeMap::new();
        for (name, value) in table.get_ref() {
            let at = name.span().start;
            let name = name.get_ref();
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                let reason = format!(
                    "unknown key '{name}'; did you mean '{}'?",
                    nearest(name, &names)
                );
                return Err(wrong(at, reason));
            };
            let words = key.words(value.get_ref(), directory).ok_or_else(|| {
                let found = value.get_ref().type_str();
                wrong(
                    at,
                    format!("'{name}' must be {}, not {found}", key.wanted()),
                )
            })?;
            let line = line(at);
            entries.insert(name.to_string(), Entry { line, words });
        }
        let path = path.to_owned();
        Ok(Self { path, entries })
    }

    /// As if it said nothing of a key.
    pub(super) fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// The words of a command line for those of these keys that it has.
    pub(super) fn words<'a>(&self, keys: impl Iterator<Item = Key<'a>>) -> Vec<OsString> {
        let entries = keys.filter_map(|key| self.entries.get(key.name));
        entries
            .flat_map(|entry| entry.words.iter().map(OsString::from))
            .collect()
    }

    /// Where it speaks of a key.
    pub(super) fn place(&self, name: &str) -> Option<String> {
        let entry = self.entries.get(name)?;
        Some(place(&self.path, entry.line))
    }
}

fn place(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::path(path, error.to_string());
    let mut text = String::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(Failure::path(
            path,
            "is longer than 1 MiB; is it a file of flags?",
        )),
        false => Ok(text),
    }
}
