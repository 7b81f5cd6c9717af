//! `calm eval`: examples with prompts and targets, and benchmarks.

mod args;
mod examples;
mod flags;
mod metric;
pub(super) mod tasks;

pub(crate) use self::args::EvalArgs;
use self::flags::Kind;
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The share of answers that are right, token for token, and ended in the right place:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl

  The same of the anchor alone, of 100 examples, with every answer:
    calm eval anchor --data kv/kv-arithmetic.held-out.jsonl --limit 100 --samples answers.jsonl

  Other metrics, and data of other forms:
    calm eval model --data test.parquet --metric number --max-new-tokens 256 --shots 4
    calm eval model --data qa.csv --prompt-field ask --target-field reply --metric chrf1
    calm eval model --data texts.jsonl --metric perplexity

  A benchmark, from a directory of its published files; an interrupted run goes on:
    calm eval composition --task gsm8k --data gsm8k --out runs/gsm8k
    calm eval composition --task gsm8k --test-file test.parquet --shots 0

  All benchmarks, and the first prompt of one:
    calm eval --list
    calm eval --show humaneval --data humaneval

  The composition beside its anchor, language by language:
    calm eval --compare runs/anchor runs/composition

  For a program:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl --json --quiet

Decoding is greedy and free-running: the model sees its own tokens, never those of the
target. Intervals are of 95 %: Wilson's for shares, otherwise of a bootstrap over the
examples. Tasks, their settings and the sandbox of generated programs: docs/evaluation.md.";

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Report, Failure> {
    let kind = args.kind()?;
    kind.check(&args.given())?;
    let missing = |flag, reason: &str| Err(Failure::flag(flag, reason));
    match (kind, &args.model, &args.data) {
        (Kind::List, ..) => Ok(tasks::list()),
        (Kind::Show, _, data) => {
            let task = args.show.as_deref().unwrap_or_default();
            tasks::show(task, data.as_deref(), &args.tasks, &args.amounts)
        }
        (Kind::Compare, ..) => tasks::compared(&args.compare, common),
        (_, None, _) => missing("MODEL", "give the model that is to be evaluated"),
        (Kind::Tasks, Some(model), data) => {
            let model = (model, &args.load, &args.scales);
            tasks::run(model, data.as_deref(), &args.tasks, &args.amounts, common)
        }
        (Kind::Examples, _, None) => missing("--data", "say where the examples are"),
        (Kind::Examples, Some(model), Some(data)) => examples::run(args, model, data, common),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::EvalArgs;
    use super::flags::USED_BY;

    #[test]
    fn every_flag_of_the_verb_says_what_uses_it() {
        let command = EvalArgs::augment_args(Command::new("eval"));
        let mut flags: Vec<String> = command
            .get_arguments()
            .map(|arg| match arg.get_long() {
                Some(long) => format!("--{long}"),
                None => "MODEL".to_owned(),
            })
            .collect();
        flags.sort();
        let mut known: Vec<String> = USED_BY.iter().map(|(flag, _)| (*flag).to_owned()).collect();
        known.sort();
        assert_eq!(flags, known);
    }
}
