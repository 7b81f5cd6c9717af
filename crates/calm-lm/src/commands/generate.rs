//! `calm generate`: continues prompts.

use std::io::{self, BufRead, IsTerminal};

use calm_lm::data::encode_prompt;
use calm_lm::models::{Continuation, GenerateOptions};
use clap::Args;
use serde_json::{Value, json};

use super::model::{Model, ModelArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A checkpoint and a composition, greedily:
    calm generate specialist --prompt 'kip + qat - zu :'
    calm generate composition --prompt 'kip + qat - zu =' --prompt 'zu + kip ='

  Prompts of a file, one per line, as many lines out as in:
    calm generate composition --max-new-tokens 16 < prompts.txt

  A composition whose models have moved since it was made:
    calm generate composition --anchor models/anchor \
        --augmenting models/specialist --prompt 'kip ='

The paths in composition.json are looked up as they stand, relative ones in the current
directory and then in the composition's. Models with other weights than those that the
composition was made for are refused.";

/// Prompts decoded together. More are hardly faster on a processor, and cost memory.
const ROWS: usize = 64;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue; may be given several times [default: the lines of standard input]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// Most tokens to add to a prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
}

pub(super) fn run(args: &GenerateArgs, common: &Common) -> Result<Report, Failure> {
    let device = common.device()?;
    let (prompts, origin) = prompts(&args.prompt)?;
    let model = Model::load(&args.model, &device)?;
    let ids = prompts.iter().enumerate();
    let ids = ids.map(|(number, prompt)| encode_prompt(model.tokenizer().inner(), number, prompt));
    let ids = ids
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Failure::Text {
            origin: origin.to_owned(),
            source,
        })?;
    let options = GenerateOptions {
        max_new_tokens: args.max_new_tokens,
        stop: model.special().eos.clone(),
    };
    let mut text = String::new();
    let mut continuations = Vec::new();
    for (prompts, ids) in prompts.chunks(ROWS).zip(ids.chunks(ROWS)) {
        for (prompt, continuation) in prompts.iter().zip(model.generate(ids, &options)?) {
            let output = model.tokenizer().decode(&continuation.ids, true)?;
            text.push_str(&output);
            text.push('\n');
            continuations.push(describe(prompt, &output, &continuation));
        }
    }
    let json = json!({ "model": args.model.directory, "continuations": continuations });
    Ok(Report::new(text, json))
}

fn describe(prompt: &str, output: &str, continuation: &Continuation) -> Value {
    json!({
        "prompt": prompt,
        "output": output,
        "tokens": continuation.ids.len(),
        "ended": continuation.stopped,
    })
}

/// The prompts, and where they come from.
fn prompts(given: &[String]) -> Result<(Vec<String>, &'static str), Failure> {
    if !given.is_empty() {
        return Ok((given.to_vec(), "--prompt"));
    }
    let origin = "standard input";
    let stdin = io::stdin();
    let lines: Result<Vec<String>, io::Error> = if stdin.is_terminal() {
        Ok(Vec::new())
    } else {
        stdin.lock().lines().collect()
    };
    match lines {
        Ok(lines) if lines.is_empty() => {
            let reason = "there is none; give one, or pipe in prompts, one per line";
            Err(Failure::flag("--prompt", reason))
        }
        Ok(lines) => Ok((lines, origin)),
        Err(source) => Err(Failure::Io {
            origin: origin.to_owned(),
            source,
        }),
    }
}
