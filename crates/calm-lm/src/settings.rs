//! Files of settings: what `--config` reads, and what `--dry-run` prints.
//!
//! The settings structs of calm-train are the schema. The flags of a verb are parsed into one; then
//! each key of the file whose flag was not given is put over it and read by serde.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use calm_lm::models::ModelSource;
use calm_lm::train::runs::PlaceholderSource;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueHint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;
use toml::{Table, Value};

use crate::failure::{Failure, one_line};
use crate::names::{canonical, nearest};

/// Far more than anybody writes.
const MAX_BYTES: u64 = 1 << 20;

/// Flags of a training verb that say how this one call behaves.
#[derive(Debug, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct CallArgs {
    /// Read flags from this TOML file, as `steps = 500`
    ///
    /// Those of the command line win. Paths in it begin at its directory.
    #[arg(long, value_name = "FILE", help_heading = "Training")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Tell size, memory and time of the run beforehand, and write nothing
    ///
    /// A few steps are done to measure them. What is printed is a file for --config, with all flags.
    #[arg(long, help_heading = "Training")]
    pub(crate) dry_run: bool,
    /// Show the run as curves that fill the terminal
    #[arg(long, help_heading = "Training")]
    pub(crate) tui: bool,
}

/// The keys of a file whose flags were not given.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    line: usize,
    value: Value,
}

impl ConfigFile {
    /// Reads the file that a command line names with `--config`, if it names one.
    ///
    /// # Errors
    ///
    /// [`Failure::Config`] with the line that cannot be used.
    pub(crate) fn named(command: &Command, matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        let Some((name, given)) = matches.subcommand() else {
            return Ok(None);
        };
        match (
            given.try_get_one::<PathBuf>("config"),
            command.find_subcommand(name),
        ) {
            (Ok(Some(path)), Some(verb)) => Self::read(path, verb, given).map(Some),
            _ => Ok(None),
        }
    }

    fn read(path: &Path, verb: &Command, given: &ArgMatches) -> Result<Self, Failure> {
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
        let values: Table = text.parse().expect("it was parsed before");
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut entries = BTreeMap::new();
        for written in table.get_ref().keys() {
            let (at, written) = (written.span().start, written.get_ref().as_ref());
            let name = key(verb, written).map_err(|reason| wrong(at, reason))?;
            let is_given = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
            if is_given(&id(name)) || alternative(name).is_some_and(is_given) {
                continue;
            }
            let mut value = values[written].clone();
            if is_path(verb, name) {
                each_path(name, &mut value, |path| directory.join(path));
            }
            let line = line(at);
            if let Some(other) = entries.insert(name.to_owned(), Entry { line, value }) {
                let reason = format!("'{written}' is '{name}', which line {} has", other.line);
                return Err(wrong(at, reason));
            }
        }
        let path = path.to_owned();
        Ok(Self { path, entries })
    }

    /// Puts the keys of the file over settings; those that the settings lack are left out.
    pub(crate) fn fill<S: Serialize + DeserializeOwned>(
        &self,
        settings: &mut S,
    ) -> Result<(), Failure> {
        let mut table = table(settings)?;
        for (name, entry) in &self.entries {
            table.insert(name.clone(), entry.value.clone());
            *settings = S::deserialize(table.clone()).map_err(|error| Failure::Config {
                place: place(&self.path, entry.line),
                reason: format!("'{name}': {}", error.message().replace('\n', ", ")),
            })?;
        }
        Ok(())
    }

    /// The same failure, with the line of the file if it is about a value from there.
    pub(crate) fn blame(&self, failure: Failure) -> Failure {
        let name = failure.flag_name();
        match name.and_then(|name| self.entries.get(&name)) {
            Some(entry) => Failure::Config {
                place: place(&self.path, entry.line),
                reason: one_line_of(&failure),
            },
            None => failure,
        }
    }
}

fn one_line_of(failure: &Failure) -> String {
    match failure {
        Failure::Usage(error) => one_line(&error.to_string()),
        other => other.to_string(),
    }
}

/// Settings as a table, the paths in it from the root, so that a file of it means the same anywhere.
pub(crate) fn absolute<S: Serialize + Args>(settings: &S) -> Result<Table, Failure> {
    let verb = &S::augment_args(Command::new("settings"));
    let mut table = table(settings)?;
    for (name, value) in &mut table {
        if is_path(verb, name) {
            each_path(name, value, |path| {
                std::path::absolute(&path).unwrap_or(path)
            });
        }
    }
    Ok(table)
}

pub(crate) fn table(settings: &impl Serialize) -> Result<Table, Failure> {
    Table::try_from(settings).map_err(|error| Failure::Config {
        place: "settings".to_owned(),
        reason: error.to_string(),
    })
}

/// Names that may stand in a file for this verb: those of its flags.
fn keys(verb: &Command) -> Vec<&str> {
    let flags = verb.get_arguments().filter_map(clap::Arg::get_long);
    flags
        .filter(|name| !["config", "help", "version"].contains(name))
        .collect()
}

/// The flag that a key of a file stands for, by its own name or one that other programs have.
fn key<'a>(verb: &'a Command, written: &str) -> Result<&'a str, String> {
    let known = keys(verb);
    let name = canonical(verb, written).filter(|name| known.contains(name));
    name.ok_or_else(|| match nearest(written, known) {
        Some(near) => format!("unknown key '{written}'; did you mean '{near}'?"),
        None => format!(
            "unknown key '{written}'; keys are flags of calm {}",
            verb.get_name()
        ),
    })
}

/// The identifier of a flag.
fn id(name: &str) -> String {
    name.replace('-', "_")
}

/// The flag that says the same in another unit, if there is one.
fn alternative(name: &str) -> Option<&'static str> {
    match name {
        "steps" => Some("epochs"),
        "epochs" => Some("steps"),
        _ => None,
    }
}

fn is_path(verb: &Command, name: &str) -> bool {
    let mut flags = verb.get_arguments();
    let flag = flags.find(|flag| flag.get_long() == Some(name));
    flag.is_some_and(|flag| flag.get_value_hint() == ValueHint::AnyPath)
}

/// Changes the paths of a setting, one text or a list of them.
fn each_path(name: &str, value: &mut Value, change: impl Fn(PathBuf) -> PathBuf + Copy) {
    match value {
        Value::Array(values) => {
            let values = values.iter_mut();
            values.for_each(|value| each_path(name, value, change));
        }
        Value::String(text) => {
            if let Some(path) = path_of(name, text) {
                *text = change(path).display().to_string();
            }
        }
        _ => {}
    }
}

/// The path that a setting names: models of the Hub are none, nor are placeholders but those of a
/// file.
fn path_of(name: &str, text: &str) -> Option<PathBuf> {
    let path = match name {
        "placeholders" => match text.parse() {
            Ok(PlaceholderSource::File(path)) => Some(path),
            _ => None,
        },
        _ => match text.parse() {
            Ok(ModelSource::Path(path)) => Some(path),
            _ => None,
        },
    };
    path.filter(|_| !text.is_empty())
}

fn place(path: &Path, line: usize) -> String {
    format!("{}, line {line}", path.display())
}

fn read_text(path: &Path) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::path(path, error.to_string());
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(Failure::path(
            path,
            "is longer than 1 MiB; is it a file of flags?",
        )),
        false => calm_files::text(bytes).map_err(|error| failed(error.into())),
    }
}
