//! What is common to all verbs: flags, and what a wrong command line gets.

use std::cell::OnceCell;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use burn::tensor::Device;
use calm_lm::backend::{Backend, DeviceError, guard};
use clap::error::ErrorKind;
use clap::{Args, Parser};

use crate::commands::Verb;
use crate::failure::{self, Failure};
use crate::settings::Settings;

const EXAMPLES: &str = r"EXAMPLES
  A dataset, two small models that each know half of a task, and their composition:
    calm data kv --laptop --out kv
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist
    calm pretrain --train kv/numeric-arithmetic.all.jsonl \
        --tokenizer kv/tokenizer.json --out anchor
    calm compose --anchor anchor --augmenting specialist \
        --train kv/kv-arithmetic.held-in.jsonl --out composition
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl

  A model of the Hugging Face Hub, kept where its own tools keep models:
    calm generate hf:HuggingFaceTB/SmolLM2-135M --prompt 'Once upon a time'

  What a build and a machine can do:
    calm doctor

EXIT CODES
  0 done; 1 the answer is no (verify found a difference); 2 bad usage or input;
  130 interrupted";

/// Composes frozen language models: an anchor learns to read a specialist through small layers
/// between them, and neither changes (CALM, arXiv 2401.02412).
#[derive(Debug, Parser)]
#[command(name = "calm", version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Common {
    /// Device to compute on: auto, cpu, or a GPU as in cuda:0; see `calm doctor`
    #[arg(long, global = true, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Fixes everything that is drawn: data, initial weights, order
    #[arg(
        long,
        global = true,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) seed: u64,
    /// Threads of the processor to compute on, which changes no result [default: all]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// All flags of this call.
    #[arg(skip)]
    pub(crate) settings: Settings,
    /// The device, once it was looked for.
    #[arg(skip)]
    found: OnceCell<Device>,
}

impl Common {
    /// Has everything run on as many threads as were asked for.
    pub(crate) fn use_threads(&self) -> Result<(), DeviceError> {
        calm_lm::backend::use_threads(self.threads)
    }

    /// What the device is called that was asked for.
    pub(crate) fn device_name(&self) -> &str {
        &self.device
    }

    /// The device that was asked for.
    pub(crate) fn device(&self) -> Result<Device, DeviceError> {
        if let Some(device) = self.found.get() {
            return Ok(device.clone());
        }
        let device = calm_lm::backend::device(&self.device)?;
        Ok(self.found.get_or_init(|| device).clone())
    }

    /// Does what a verb does. Burn panics where a driver gives up in the middle; then that is told
    /// like all else that goes wrong.
    pub(crate) fn watched<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let has_gpus = calm_lm::backend::compiled().any(|backend| backend != Backend::Cpu);
        let device = has_gpus.then(|| self.device().ok()).flatten();
        match device.filter(|device| !calm_lm::backend::is_processor(device)) {
            None => work(),
            Some(device) => guard(work).unwrap_or_else(|reason| {
                Err(Failure::Broke {
                    device: format!("{device:?}"),
                    reason,
                })
            }),
        }
    }
}

/// Prints the help that was asked for, or in one line what is wrong with the command line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => failure::complain(&one_line(&error.to_string())),
    }
}

/// What clap says in several paragraphs, without its usage, which `--help` shows with examples.
pub(crate) fn one_line(message: &str) -> String {
    let said: Vec<&str> = message
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more"))
        .collect();
    let said = said.join("; ");
    format!("{}; see --help", said.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
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
                match Cli::try_parse_from(&words) {
                    Err(error) if has_file => {
                        assert_eq!(
                            error.kind(),
                            ErrorKind::MissingRequiredArgument,
                            "{words:?}"
                        );
                    }
                    Err(error) => panic!("{words:?}: {error}"),
                    Ok(_) => assert!(!has_file, "a file for what is all there: {words:?}"),
                }
            }
            verbs += 1;
        }
        assert_eq!(
            verbs, 18,
            "twelve verbs, two kinds of data, three views of runs, and the program itself"
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
        let explained = |words: &[&str]| {
            let error = Cli::try_parse_from(words).unwrap_err();
            one_line(&error.to_string()).replace('\n', " ")
        };
        assert_eq!(
            explained(&["calm", "doctor", "--sed", "3"]),
            "unexpected argument '--sed' found; tip: a similar argument exists: '--seed'; \
             see --help"
        );
        let missing = explained(&["calm", "data", "kv"]);
        assert!(missing.contains("--out <DIR>; see --help"), "{missing}");
    }
}
