//! Flags and verbs that we do not have.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{canonical, foreign, names, nearest};

/// A flag or verb that we do not have, and what to type instead.
#[derive(Debug, thiserror::Error)]
#[error("{place} has no {kind}{name}; {hint}")]
pub(crate) struct Unknown {
    place: String,
    kind: &'static str,
    name: String,
    hint: String,
}

/// The flag or verb that a command line was refused for, if we do not have it.
pub(crate) fn unknown(
    error: &clap::Error,
    command: &Command,
    words: &[OsString],
) -> Option<Unknown> {
    let place = Place::of(command, words);
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            said(error, ContextKind::InvalidSubcommand).map(|name| place.unknown_verb(name))
        }
        ErrorKind::UnknownArgument => {
            let name = said(error, ContextKind::InvalidArg);
            place
                .long_after_one_hyphen(words)
                .or_else(|| name.map(|name| place.unknown_argument(name)))
        }
        // `-temp 0.8` is `-t emp`.
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => place.long_after_one_hyphen(words),
        _ => None,
    }
}

fn said(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    }
}

/// Where a command line stops to be understood.
struct Place<'a> {
    /// The program, then verbs, each below the one before it.
    path: Vec<&'a Command>,
}

impl<'a> Place<'a> {
    fn of(program: &'a Command, words: &[OsString]) -> Self {
        let mut path = vec![program];
        for word in words.iter().skip(1).filter_map(|word| word.to_str()) {
            let last = path[path.len() - 1];
            path.extend(last.find_subcommand(word));
        }
        Self { path }
    }

    fn command(&self) -> &'a Command {
        self.path[self.path.len() - 1]
    }

    /// The verb: of `calm data kv`, `data`.
    fn verb(&self) -> &'a str {
        self.path.get(1).map_or("", |verb| verb.get_name())
    }

    fn name(&self) -> String {
        let names: Vec<&str> = self.path.iter().map(|command| command.get_name()).collect();
        names.join(" ")
    }

    fn unknown(&self, kind: &'static str, name: &str, hint: Option<String>) -> Unknown {
        let place = self.name();
        Unknown {
            hint: hint.unwrap_or_else(|| format!("see {place} --help")),
            place,
            kind,
            name: name.to_owned(),
        }
    }

    fn unknown_verb(&self, name: &str) -> Unknown {
        let below = || self.command().get_subcommands();
        let is_ours = self.path.len() == 1;
        let foreign = |name: &str| foreign::verb(name).filter(|_| is_ours);
        let further = || {
            let verb = below().find(|verb| verb.find_subcommand(name).is_some())?;
            Some(format!("it is `calm {} {name}`", verb.get_name()))
        };
        let meant = || {
            let names = |verb: &'a Command| verb.get_all_aliases().chain([verb.get_name()]);
            let meant = nearest(name, below().flat_map(names))?;
            let verb = below().find(|verb| names(verb).any(|name| name == meant))?;
            Some(format!("did you mean '{}'?", verb.get_name()))
        };
        let near = || foreign(nearest(name, foreign::verbs())?).map(str::to_owned);
        let hint = foreign(&name.to_lowercase()).map(str::to_owned);
        let hint = hint.or_else(further).or_else(meant).or_else(near);
        self.unknown("verb ", name, hint)
    }

    fn unknown_argument(&self, argument: &str) -> Unknown {
        let bare = argument.trim_start_matches('-');
        if bare.len() == argument.len() {
            return self.unknown("place for ", argument, self.stray(argument));
        }
        let name = bare.split('=').next().unwrap_or(bare).replace('_', "-");
        let foreign = foreign::flag(&name, self.verb()).map(str::to_owned);
        let hint = foreign.or_else(|| {
            let meant = self
                .nearest_flag(&name)
                .map(|meant| format!("did you mean --{meant}?"));
            let near = || foreign::flag(nearest(&name, foreign::flags())?, self.verb());
            meant
                .or_else(|| near().map(str::to_owned))
                .or_else(|| self.elsewhere(&name))
        });
        self.unknown("flag ", argument, hint)
    }

    /// The flag whose names have one that is nearest to this, by our name of it.
    fn nearest_flag(&self, name: &str) -> Option<&'a str> {
        let commands = [self.command(), self.path[0]];
        let known: Vec<String> = commands
            .iter()
            .flat_map(|command| command.get_arguments())
            .flat_map(names)
            // Of two that differ in this alone, one is enough.
            .filter(|name| !name.contains('_'))
            .collect();
        let meant = nearest(name, known.iter().map(String::as_str))?;
        commands
            .iter()
            .find_map(|command| canonical(command, meant))
    }

    /// The verb that has such a flag.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut verbs = self.path[0].get_subcommands();
        let verb = verbs.find(|verb| canonical(verb, name).is_some())?;
        let (verb, name) = (verb.get_name(), canonical(verb, name)?);
        Some(format!("--{name} is a flag of `calm {verb}`"))
    }

    /// Names of several letters behind one hyphen, as llama.cpp has them.
    fn long_after_one_hyphen(&self, words: &[OsString]) -> Option<Unknown> {
        let words = words.iter().filter_map(|word| word.to_str());
        let mut found = words.filter_map(|word| {
            let name = word.strip_prefix('-')?.replace('_', "-");
            if name.starts_with('-') || name.len() < 2 {
                return None;
            }
            let meant =
                canonical(self.command(), &name).map(|meant| format!("did you mean --{meant}?"));
            let hint = meant.or_else(|| foreign::flag(&name, self.verb()).map(str::to_owned))?;
            Some(self.unknown("flag ", word, Some(hint)))
        });
        found.next()
    }

    /// The meaning of a word without a flag.
    fn stray(&self, word: &str) -> Option<String> {
        if ["true", "false"].contains(&&*word.to_lowercase()) {
            return Some("a flag of this kind is given without a value, or left out".to_owned());
        }
        let hint = match self.verb() {
            "generate" => "a prompt stands behind its flag: --prompt 'TEXT'",
            "trace" => "the text stands behind its flag: --text 'TEXT'",
            "chat" => "messages are typed, or piped in: echo 'Hello' | calm chat MODEL",
            "eval" => "what to evaluate on stands behind its flag: --data FILE, or --task NAME",
            "compose" => "models stand behind their flags: --anchor MODEL --augmenting MODEL",
            "pretrain" => "a checkpoint stands behind its flag: --from MODEL",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
