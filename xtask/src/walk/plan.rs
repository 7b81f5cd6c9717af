//! `walk.toml`: the files that pages speak of, and what their commands need and print.

use std::fmt;

use miette::{IntoDiagnostic, Result, WrapErr};
use regex::Regex;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::log::Log;
use super::words::Foreign;

const PLAN: &str = include_str!("walk.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Commands that make those files, in an empty directory. `$ROOT` is the workspace.
    pub(super) stage: Vec<String>,
    /// Flags of other programs that the documentation names.
    foreign_flags: Vec<String>,
    /// Parts of paths of other projects that it names.
    foreign_files: Vec<String>,
    #[serde(default)]
    page: Vec<PageStage>,
    command: Vec<Entry>,
}

/// Commands that make the files of one page, in the copy of the stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageStage {
    name: String,
    stage: Vec<String>,
}

/// Commands that are not just to succeed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Name of the page, or of all pages.
    page: Option<String>,
    /// Pattern of the command.
    #[serde(deserialize_with = "pattern")]
    text: Regex,
    /// Without these, the command is checked but not executed.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// Pattern of what it prints.
    #[serde(default, deserialize_with = "optional_pattern")]
    pub(super) prints: Option<Regex>,
    /// Exit status.
    #[serde(default)]
    pub(super) exit: i32,
    /// Flags that make it short, for tests.
    pub(super) quick: Option<String>,
}

impl Plan {
    pub(super) fn read() -> Result<Self> {
        toml::from_str(PLAN).into_diagnostic().wrap_err("walk.toml")
    }

    pub(super) fn foreign(&self) -> Foreign<'_> {
        Foreign {
            flags: &self.foreign_flags,
            files: &self.foreign_files,
        }
    }

    /// Commands that make what this page alone speaks of.
    pub(super) fn stage_of<'a>(&'a self, page: &'a str) -> impl Iterator<Item = &'a String> {
        let pages = self.page.iter().filter(move |stage| stage.name == page);
        pages.flat_map(|page| &page.stage)
    }

    /// The first entry for a command of a page.
    pub(super) fn entry(&self, page: &str, command: &str) -> Option<&Entry> {
        let mut entries = self.command.iter();
        entries.find(|entry| entry.is_for(page, command))
    }

    /// Entries that no command was found for, although their pages were walked.
    pub(super) fn unused<'a>(
        &'a self,
        log: &'a Log,
        all_pages: bool,
    ) -> impl Iterator<Item = String> + 'a {
        let walked = move |entry: &Entry| match &entry.page {
            Some(page) => all_pages || log.has(page),
            None => all_pages,
        };
        let entries = self.command.iter().filter(move |entry| walked(entry));
        let unused = entries.filter(|entry| {
            let mut commands = log.commands();
            !commands.any(|(page, command)| entry.is_for(page, command))
        });
        unused.map(ToString::to_string)
    }
}

impl Entry {
    fn is_for(&self, page: &str, command: &str) -> bool {
        let is_page = self.page.as_ref().is_none_or(|name| name == page);
        is_page && self.text.is_match(command)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = self.page.as_deref().unwrap_or("any page");
        write!(f, "walk.toml: {page} has no command like {}", self.text)
    }
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Regex, D::Error> {
    let text = String::deserialize(deserializer)?;
    Regex::new(&text).map_err(D::Error::custom)
}

fn optional_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Regex>, D::Error> {
    pattern(deserializer).map(Some)
}
