//! `calm eval`: greedy exact match, and benchmarks.

pub(super) mod tasks;

use std::path::{Path, PathBuf};

use calm_lm::data::jsonl::{self, PromptTarget};
use calm_lm::data::tokenize;
use calm_lm::eval::{GreedySample, accuracy, exact_match};
use calm_lm::terminal::Progress;
use calm_lm::train::DataTokenizer;
use clap::Args;
use serde::Serialize;

use self::tasks::TaskArgs;
use super::load::LoadArgs;
use super::model::{Model, ModelArgs, ScaleArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The share of answers that are right, token for token, and ended in the right place:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl

  The same of the anchor alone, with every answer:
    calm eval anchor --data kv/kv-arithmetic.held-out.jsonl --samples answers.jsonl

  A benchmark, from a directory of its published files; an interrupted run goes on:
    calm eval composition --task gsm8k --data gsm8k --out runs/gsm8k

  All benchmarks, and the first prompt of one:
    calm eval --list
    calm eval --show humaneval --data humaneval

  The composition beside its anchor, language by language:
    calm eval --compare runs/anchor runs/composition

  For a program:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl --json --quiet

Decoding is greedy and free-running: the model sees its own tokens, never those of the
target. The interval is Wilson's, at 95 %. Tasks, their settings and the sandbox of generated
programs: docs/evaluation.md.";

/// Examples between two updates of the progress.
const CHUNK: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    model: Option<ModelArgs>,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    scales: ScaleArgs,
    /// Examples, one JSON object with a `prompt` and a `target` per line; with --task the directory
    /// of the benchmark's files
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Write every prompt, target and answer to this file, one JSON object per line
    #[arg(long, value_name = "FILE", conflicts_with = "tasks")]
    samples: Option<PathBuf>,
    #[command(flatten)]
    tasks: TaskArgs,
    /// List the benchmarks
    #[arg(long, conflicts_with_all = ["tasks", "show", "compare"])]
    list: bool,
    /// Show a benchmark as a task file; with --data its first prompt, exactly as a model reads it
    #[arg(long, value_name = "TASK", conflicts_with_all = ["tasks", "compare"])]
    show: Option<String>,
    /// Compare the second run with the first
    #[arg(long, value_name = "RUN", num_args = 2, conflicts_with_all = ["tasks", "data"])]
    compare: Vec<PathBuf>,
}

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Report, Failure> {
    if args.list {
        return Ok(tasks::list());
    }
    if let Some(task) = &args.show {
        return tasks::show(task, args.data.as_deref(), &args.tasks);
    }
    if !args.compare.is_empty() {
        return tasks::compared(&args.compare, common);
    }
    let missing = |flag, reason: &str| Failure::flag(flag, reason);
    let (model, data) = match (&args.model, &args.data) {
        (Some(model), Some(data)) => (model, data),
        (None, _) => return Err(missing("MODEL", "give the model that is to be evaluated")),
        (_, None) => return Err(missing("--data", "say where the examples are")),
    };
    if !args.tasks.tasks.is_empty() {
        return tasks::run((model, &args.load, &args.scales), data, &args.tasks, common);
    }
    if data.is_dir() {
        let reason = "is a directory; say with --task which benchmark's files are in it";
        return Err(Failure::path(data, reason));
    }
    prompts_and_targets(args, model, data, common)
}

/// Greedy exact match on a file of prompts and targets.
fn prompts_and_targets(
    args: &EvalArgs,
    model: &ModelArgs,
    data: &Path,
    common: &Common,
) -> Result<Report, Failure> {
    common.device()?;
    check_writable(args.samples.as_deref())?;
    let examples = jsonl::read(data)?;
    let model = Model::load(model, &args.load, &args.scales, common)?;
    let end_of_text = model.end_of_text()?;
    check(&examples, &model, end_of_text, data)?;
    let samples = evaluate(&model, end_of_text, &examples, common.quiet)?;
    if let Some(path) = &args.samples {
        jsonl::write(path, &samples)?;
    }
    let accuracy = accuracy(&samples);
    let [low, high] = accuracy.interval();
    let text = format!(
        "{:.1} % exact match ({} of {}), 95 % interval {low:.1} to {high:.1} %\n",
        accuracy.percent(),
        accuracy.hits,
        accuracy.n
    );
    let result = ExactMatch {
        model: &model.name,
        data,
        metric: "exact-match",
        percent: accuracy.percent(),
        hits: accuracy.hits,
        n: accuracy.n,
        interval_95: [low, high],
        samples: args.samples.as_deref(),
    };
    Ok(Report::new(text, result))
}

#[derive(Serialize)]
struct ExactMatch<'a> {
    model: &'a str,
    data: &'a Path,
    metric: &'static str,
    percent: f64,
    hits: usize,
    n: usize,
    interval_95: [f64; 2],
    samples: Option<&'a Path>,
}

/// Checked first, so that a long evaluation is not lost to a wrong path.
fn check_writable(samples: Option<&Path>) -> Result<(), Failure> {
    let parent = samples.and_then(Path::parent);
    match parent {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            let reason = "there is no such directory to write samples to; make it first";
            Err(Failure::path(parent, reason))
        }
        _ => Ok(()),
    }
}

/// Refuses words that the model does not know and targets that do not fit: both would be scored as
/// mistakes of the model.
fn check(
    examples: &[PromptTarget],
    model: &Model,
    end_of_text: u32,
    path: &Path,
) -> Result<(), Failure> {
    let tokenizer = DataTokenizer(model.tokenizer());
    let context = model.composition.anchor.model.config().context_length;
    for (number, example) in examples.iter().enumerate() {
        let (prompt, target) = (&example.prompt, &example.target);
        tokenize(&tokenizer, number, prompt, target, end_of_text, context).map_err(|source| {
            Failure::Text {
                origin: path.display().to_string(),
                source,
            }
        })?;
    }
    Ok(())
}

fn evaluate(
    model: &Model,
    end_of_text: u32,
    examples: &[PromptTarget],
    quiet: bool,
) -> Result<Vec<GreedySample>, Failure> {
    let mut progress = (!quiet).then(|| Progress::new("eval", examples.len(), 0));
    let mut samples = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(CHUNK) {
        let composed = &model.composition.model;
        samples.extend(exact_match(
            composed,
            model.tokenizer(),
            end_of_text,
            chunk,
        )?);
        if let Some(progress) = &mut progress {
            let message = format!("{:.1} %", accuracy(&samples).percent());
            progress.advance(samples.len(), &message);
        }
    }
    Ok(samples)
}
