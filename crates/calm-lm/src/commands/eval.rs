//! `calm eval`: greedy exact match.

use std::path::{Path, PathBuf};

use calm_lm::data::jsonl::{self, PromptTarget};
use calm_lm::data::tokenize;
use calm_lm::eval::{Sample, accuracy};
use calm_lm::terminal::Progress;
use clap::Args;
use serde_json::json;

use super::model::{Model, ModelArgs, ScaleArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  How many answers are right, token for token, and ended in the right place:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl

  The same of the anchor alone, with every answer:
    calm eval anchor --data kv/kv-arithmetic.held-out.jsonl --samples answers.jsonl

  For a program:
    calm eval composition --data kv/kv-arithmetic.held-out.jsonl --json --quiet

Decoding is greedy and free-running: the model sees its own tokens, never those of the
target. The interval is Wilson's, at 95 %.";

/// Examples between two signs of progress.
const CHUNK: usize = 256;

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    scales: ScaleArgs,
    /// Examples, one JSON object with a `prompt` and a `target` per line
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Write every prompt, target and answer to this file, one JSON object per line
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
}

pub(super) fn run(args: &EvalArgs, common: &Common) -> Result<Report, Failure> {
    let device = common.device()?;
    check_writable(args.samples.as_deref())?;
    let examples = jsonl::read(&args.data)?;
    let model = Model::load(&args.model, &args.scales, &device, common.quiet)?;
    let end_of_text = model.end_of_text()?;
    check(&examples, &model, end_of_text, &args.data)?;
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
    let json = json!({
        "model": model.name,
        "data": args.data,
        "metric": "exact-match",
        "percent": accuracy.percent(),
        "hits": accuracy.hits,
        "n": accuracy.n,
        "interval_95": [low, high],
        "samples": args.samples,
    });
    Ok(Report::new(text, json))
}

/// A long evaluation is not to be lost to a slip of the pen.
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

/// Words that the model does not know, or targets that it has no room for, would be scored as
/// mistakes of the model.
fn check(
    examples: &[PromptTarget],
    model: &Model,
    end_of_text: u32,
    path: &Path,
) -> Result<(), Failure> {
    let (tokenizer, context) = (model.tokenizer().inner(), model.context_length());
    for (number, example) in examples.iter().enumerate() {
        let (prompt, target) = (&example.prompt, &example.target);
        tokenize(tokenizer, number, prompt, target, end_of_text, context).map_err(|source| {
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
) -> Result<Vec<Sample>, Failure> {
    let mut progress = (!quiet).then(|| Progress::new("eval", examples.len(), 0));
    let mut samples = Vec::with_capacity(examples.len());
    for chunk in examples.chunks(CHUNK) {
        samples.extend(model.exact_match(end_of_text, chunk)?);
        if let Some(progress) = &mut progress {
            let message = format!("{:.1} %", accuracy(&samples).percent());
            progress.advance(samples.len(), &message);
        }
    }
    Ok(samples)
}
