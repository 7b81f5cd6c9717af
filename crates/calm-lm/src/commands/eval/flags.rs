//! Kinds of evaluation, and the flags that each of them knows.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use crate::failure::Failure;

/// Kind of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `--list`
    List,
    /// `--show`
    Show,
    /// `--compare`
    Compare,
    /// `--data` with examples
    Examples,
    /// `--task`
    Tasks,
}

use Kind::{Compare, Examples, List, Show, Tasks};

/// Every flag of the verb, with the kinds that use it. A flag that is not used is refused, so that
/// nobody takes a score for another one.
pub(super) const USED_BY: [(&str, &[Kind]); 31] = [
    ("MODEL", &[Examples, Tasks]),
    ("--model", &[Examples, Tasks]),
    ("--dtype", &[Examples, Tasks]),
    ("--lenient", &[Examples, Tasks]),
    ("--scale", &[Examples, Tasks]),
    ("--data", &[Show, Examples, Tasks]),
    ("--list", &[List]),
    ("--show", &[Show]),
    ("--compare", &[Compare]),
    ("--task", &[Tasks]),
    ("--metric", &[Examples]),
    ("--samples", &[Examples]),
    ("--prompt-field", &[Examples]),
    ("--target-field", &[Examples]),
    ("--text-field", &[Examples]),
    ("--chat", &[Examples]),
    ("--limit", &[Examples, Tasks]),
    ("--shots", &[Show, Examples, Tasks]),
    ("--shots-file", &[Show, Examples, Tasks]),
    ("--max-new-tokens", &[Show, Examples, Tasks]),
    ("--batch", &[Examples, Tasks]),
    ("--test-file", &[Show, Tasks]),
    ("--language", &[Show, Tasks]),
    ("--out", &[Tasks]),
    ("--too-long", &[Tasks]),
    ("--python", &[Tasks]),
    ("--unsafe-run-code", &[Tasks]),
    ("--anchor", &[Examples, Tasks]),
    ("--augmenting", &[Examples, Tasks]),
    ("--allow-other-weights", &[Examples, Tasks]),
    ("--augmenting-device", &[Examples, Tasks]),
];

impl Kind {
    /// The evaluation in words, for messages.
    fn words(self) -> &'static str {
        match self {
            List => "--list",
            Show => "--show",
            Compare => "--compare",
            Examples => "--data with a file of examples",
            Tasks => "--task",
        }
    }

    /// Refuses flags that this kind does not use. `given` are those of the command line.
    pub(super) fn check(self, given: &[&'static str]) -> Result<(), Failure> {
        for flag in given {
            let (_, kinds) = USED_BY
                .iter()
                .find(|(name, _)| name == flag)
                .unwrap_or_else(|| panic!("{flag} is in the table"));
            if !kinds.contains(&self) {
                let others: Vec<&str> = kinds.iter().map(|kind| kind.words()).collect();
                let reason = format!(
                    "has no meaning with {}; it is for {}",
                    self.words(),
                    others.join(" and ")
                );
                return Err(Failure::flag(flag, reason));
            }
        }
        Ok(())
    }
}

/// The names of those flags that are given.
pub(super) fn given<const N: usize>(flags: [(&'static str, bool); N]) -> Vec<&'static str> {
    let given = flags.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(flag, _)| flag).collect()
}

/// Flags of examples and of tasks alike.
#[derive(Debug, Args)]
pub(super) struct Amounts {
    /// Most examples; of a task, of each language
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<NonZeroUsize>,
    /// Number of worked examples before each prompt [default: as the task says; else none]
    #[arg(long, value_name = "N")]
    pub(super) shots: Option<usize>,
    /// File of the worked examples [default: the task's; else the first rows of --data]
    ///
    /// Rows of --data that are worked examples are not evaluated.
    #[arg(long, value_name = "FILE")]
    pub(super) shots_file: Option<PathBuf>,
    /// Most tokens of an answer [default: as the task says, else 256]
    ///
    /// For the metric exact the default is one more than the longest target.
    #[arg(long, value_name = "N")]
    pub(super) max_new_tokens: Option<NonZeroUsize>,
    /// Prompts that are decoded together [default: 16 with --task, else 256]
    #[arg(long, value_name = "N")]
    pub(super) batch: Option<NonZeroUsize>,
}
