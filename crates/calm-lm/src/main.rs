//! `calm`: composition of frozen language models from the command line. See `calm --help`.

mod cli;
mod commands;
mod failure;
mod names;
mod report;
mod settings;

use std::ffi::OsString;
use std::process::ExitCode;

use calm_lm::backend::{Allocator, keep_freed_memory};
use calm_lm::terminal::{silence, warnings};
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::cli::Common;
use crate::commands::Verb;
use crate::failure::Failure;
use crate::settings::ConfigFile;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const EXAMPLES: &str = r"EXAMPLES
  The two small models of this repository, each of which knows half of a task, learn to do
  sums over keys in two minutes, also over keys that are not in the training data:
    calm data kv --laptop --out runs/kv
    calm compose --anchor datasets/checkpoints/kv-anchor \
        --augmenting datasets/checkpoints/kv-augmenting \
        --connections '[[1,1],[2,1],[1,2],[2,2]]' --noise 0.1 --rows 64 \
        --optimizer muon --learning-rate 4e-3 --train runs/kv/mixed.jsonl --out runs/composition
    calm eval runs/composition --data runs/kv/kv-arithmetic.held-out.jsonl
    calm generate runs/composition --prompt 'fig + ned - pal ='

  A model of the Hugging Face Hub, kept where its own tools keep models:
    calm generate hf:HuggingFaceTB/SmolLM2-135M --prompt 'Once upon a time'

  A conversation, with a model that was trained for them:
    calm chat hf:HuggingFaceTB/SmolLM2-135M-Instruct

  What a build and a machine can do:
    calm doctor

Flags have the names of transformers, peft, lm-evaluation-harness and llama.cpp as well, such
as -p, -n, --lr, --batch_size and --tasks: docs/names.md.

EXIT CODES
  0 done; 1 the answer is no (verify found a difference); 2 bad usage or input;
  130 interrupted";

/// Composes frozen language models: an anchor learns to read a specialist through small layers
/// between them, and neither changes (CALM, arXiv 2401.02412).
#[derive(Debug, Parser)]
#[command(name = "calm", version, after_long_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    // Before there is a second thread.
    calm_lm::sandbox::launch_if_asked();
    keep_freed_memory();
    warnings::show();
    let printed = parse(std::env::args_os()).and_then(|cli| {
        cli.common.use_threads()?;
        if !cli.common.quiet {
            silence::watch(cli.verb.doing());
        }
        let report = cli.common.watched(|| cli.verb.run(&cli.common));
        let report = report.map_err(|failure| match &cli.common.file {
            Some(file) => file.blame(failure),
            None => failure,
        })?;
        report.print(cli.common.json)
    });
    printed.unwrap_or_else(|failure| failure.explain())
}

/// Reads a command line, and the file that it names with `--config`.
fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut command = names::with_aliases(Cli::command());
    let matches = command.try_get_matches_from_mut(&words);
    let matches = matches.map_err(|error| refused(error, &command, &words))?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(Failure::Usage)?;
    if let Some(file) = ConfigFile::named(&command, &matches)? {
        file.fill(&mut cli.common)?;
        cli.verb.fill(&file)?;
        cli.common.file = Some(file);
    }
    Ok(cli)
}

/// The fault of a command line, in our words where they say more than the parser's.
fn refused(error: clap::Error, command: &clap::Command, words: &[OsString]) -> Failure {
    let unknown = names::unknown(&error, command, words);
    unknown.map_or(Failure::Usage(error), Failure::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// A command line without the file that it may name.
    fn parsed(words: &[impl AsRef<str>]) -> Result<Cli, Failure> {
        let words: Vec<OsString> = words.iter().map(|word| word.as_ref().into()).collect();
        let mut command = names::with_aliases(Cli::command());
        let matches = command.try_get_matches_from_mut(&words);
        let matches = matches.map_err(|error| refused(error, &command, &words))?;
        Cli::from_arg_matches(&matches).map_err(Failure::Usage)
    }

    #[test]
    fn every_verb_teaches_by_examples_that_parse() {
        let mut verbs = 0;
        for verb in leaves(Cli::command()) {
            let help = verb
                .get_after_long_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let examples = examples(&help);
            assert!(!examples.is_empty(), "{} has no example", verb.get_name());
            for words in examples {
                let has_file = words.iter().any(|word| word == "--config");
                let parsed = parsed(&words);
                let parsed = parsed.unwrap_or_else(|error| panic!("{words:?}: {error}"));
                let is_whole = match &parsed.verb {
                    Verb::Compose(args) => args.config.validate().is_ok(),
                    Verb::Pretrain(args) => args.config.validate().is_ok(),
                    _ => true,
                };
                assert_eq!(
                    is_whole, !has_file,
                    "a file for what is not there: {words:?}"
                );
            }
            verbs += 1;
        }
        assert_eq!(
            verbs, 26,
            "fifteen verbs, four kinds of data, three views of runs, three of experiments, and the program itself"
        );
    }

    /// A command, and all commands below it that have none below themselves.
    fn leaves(command: clap::Command) -> Vec<clap::Command> {
        let mut found = Vec::new();
        for below in command.get_subcommands() {
            if below.has_subcommands() {
                found.extend(below.get_subcommands().cloned());
            } else {
                found.push(below.clone());
            }
        }
        found.push(command);
        found
    }

    /// The command lines in a help text, as a shell would split them.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let joined = help.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with("calm "))
            .map(|line| words(line.split(['<', '>', '|']).next().unwrap_or(line)))
            .collect()
    }

    /// Words, some of which have spaces between single quotes.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (part, text) in line.split('\'').enumerate() {
            if part % 2 == 1 {
                words.push(text.to_owned());
            } else {
                words.extend(text.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    #[test]
    fn a_wrong_command_line_is_explained_in_one_line() {
        let explained = |words: &[&str]| parsed(words).unwrap_err().to_string();
        assert_eq!(
            explained(&["calm", "doctor", "--sed", "3"]),
            "calm doctor has no flag --sed; did you mean --seed?"
        );
        let missing = failure::one_line(&explained(&["calm", "data", "kv"]));
        assert!(missing.contains("--out <DIR>; see --help"), "{missing}");
    }
}
