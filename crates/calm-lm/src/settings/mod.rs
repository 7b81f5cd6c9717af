//! The flags of a verb as keys of a TOML file, and back: what `--config` reads, and what
//! `--dry-run` prints.
//!
//! There is no list of keys. They are the long flags of the verb, whose types and ranges the parser
//! of the command line knows: keys become flags, before it sees any.

mod file;
mod key;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use serde_json::{Map, Value};

use self::file::ConfigFile;
use self::key::Key;
use crate::failure::{Failure, one_line};

/// Of a verb whose flags may stand in a file.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Read flags from this TOML file, as `steps = 500`; those of the command line win. Paths in it
    /// begin at its directory
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Flags that say what is to be done this once, rather than what the outcome depends on.
const OF_ONE_CALL: [&str; 8] = [
    "config", "dry-run", "help", "json", "listen", "quiet", "tui", "version",
];

/// The flags of this call as they were understood, and which of them are from a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    values: Map<String, Value>,
    file: Option<ConfigFile>,
}

/// Adds the flags of the file that the command line names, if it names one.
fn fill(command: &Command, words: &mut Vec<OsString>) -> Result<Option<ConfigFile>, Failure> {
    // What is wrong, or is missing and may stand in the file, is found once both are put together.
    let mut command = command.clone().ignore_errors(true);
    let Ok(matches) = command.try_get_matches_from_mut(words.iter()) else {
        return Ok(None);
    };
    let (verb, given) = verb(&command, &matches);
    let Ok(Some(path)) = given.try_get_one::<PathBuf>("config") else {
        return Ok(None);
    };
    let mut file = ConfigFile::read(path, verb)?;
    let is_given = |key: &Key<'_>| {
        given.value_source(key.arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    for key in keys(verb).filter(is_given) {
        file.forget(key.name);
    }
    let added = file.words(keys(verb));
    // Behind `--` there are no flags.
    let end = words.iter().position(|word| word == "--");
    let end = end.unwrap_or(words.len());
    words.splice(end..end, added);
    Ok(Some(file))
}

/// The verb that was asked for, and what is known of its flags.
fn verb<'a>(
    mut command: &'a Command,
    mut matches: &'a ArgMatches,
) -> (&'a Command, &'a ArgMatches) {
    while let Some((name, below)) = matches.subcommand() {
        let Some(verb) = command.find_subcommand(name) else {
            break;
        };
        (command, matches) = (verb, below);
    }
    (command, matches)
}

/// What may stand in a file for this verb.
fn keys(verb: &Command) -> impl Iterator<Item = Key<'_>> {
    verb.get_arguments()
        .filter_map(Key::of)
        .filter(|key| !["config", "help", "version"].contains(&key.name))
}

/// All flags in the order of `--help`, with their value or default, or null.
fn values(command: &Command, matches: &ArgMatches) -> Map<String, Value> {
    let (verb, matches) = verb(command, matches);
    let values = keys(verb)
        .filter(|key| !OF_ONE_CALL.contains(&key.name))
        .map(|key| (key.name.to_owned(), key.value(matches).unwrap_or_default()));
    values.collect()
}

/// What is wrong, with the line of the file if the value is from there.
fn blame(error: clap::Error, file: &ConfigFile) -> Failure {
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return Failure::Usage(error);
    }
    let flags = [ContextKind::InvalidArg, ContextKind::PriorArg].map(|kind| error.get(kind));
    let names = flags.into_iter().flatten().flat_map(|flag| match flag {
        ContextValue::String(flag) => vec![flag.as_str()],
        ContextValue::Strings(flags) => flags.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    });
    // As in `--steps <N>`.
    let names = names.filter_map(|flag| flag.strip_prefix("--")?.split(' ').next());
    let place = names.filter_map(|name| file.place(name)).next();
    match place {
        Some(place) => Failure::Config {
            place,
            reason: one_line(&error.to_string()),
        },
        None => Failure::Usage(error),
    }
}

impl Settings {
    /// Reads a command line, and the file that it names with `--config`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`], and [`Failure::Config`] if the file is to blame.
    pub(crate) fn parse(
        command: &mut Command,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(ArgMatches, Self), Failure> {
        let mut words: Vec<OsString> = words.into_iter().collect();
        let mut settings = Self {
            file: fill(command, &mut words)?,
            ..Self::default()
        };
        let matches = command.try_get_matches_from_mut(words);
        let matches = matches.map_err(|error| settings.blame_usage(error))?;
        settings.values = values(command, &matches);
        Ok((matches, settings))
    }

    /// The failure of a command line, with the line of the file if the value is from there.
    pub(crate) fn blame_usage(&self, error: clap::Error) -> Failure {
        match &self.file {
            Some(file) => blame(error, file),
            None => Failure::Usage(error),
        }
    }

    /// The flags, with values for those that the verb has chosen itself.
    pub(crate) fn with(&self, chosen: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let mut settings = self.clone();
        for (name, value) in chosen {
            let before = settings.values.entry(name).or_insert(Value::Null);
            if before.is_null() {
                *before = value;
            }
        }
        settings
    }

    /// As a file for `--config`.
    pub(crate) fn toml(&self) -> String {
        let lines = self.values.iter();
        lines
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name} = {}\n", key::toml(value)))
            .collect()
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.values.clone())
    }

    /// The same failure, with the line of the file if it is about a value from there.
    pub(crate) fn blame(&self, failure: Failure) -> Failure {
        let name = failure.flag_name();
        let place = name.and_then(|name| self.file.as_ref()?.place(&name));
        match place {
            Some(place) => Failure::Config {
                place,
                reason: failure.to_string(),
            },
            None => failure,
        }
    }
}
