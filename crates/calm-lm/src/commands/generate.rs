//! `calm generate`: continues prompts.

use std::io::{self, IsTerminal, Read, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use calm_lm::compose::{ComposeError, ComposedPrompt};
use calm_lm::data::encode_prompt;
use calm_lm::models::{Chat, Continuation, SamplingParams, SequenceOptions, generate_text};
use calm_lm::train::DataTokenizer;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::load::LoadArgs;
use super::model::{Model, ModelArgs, ScaleArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A checkpoint and a composition, greedily:
    calm generate specialist --prompt 'kip + qat - zu :'
    calm generate composition --prompt 'kip + qat - zu =' --prompt 'zu + kip ='

  A checkpoint of the Hugging Face Hub, fetched the first time (main, a tag, a commit):
    calm generate hf:HuggingFaceTB/SmolLM2-135M@main --prompt 'Once'

  Prompts of a file, one per line, as many lines out as in:
    calm generate composition --max-new-tokens 16 < prompts.txt

  Sampled, shown while it is written, up to a full stop:
    calm generate anchor --prompt 'Once' --temperature 0.8 --top-p 0.95 --seed 7 \
        --stop '.' --stream

  A question in the model's chat template:
    calm generate anchor --chat --system 'Be brief.' --prompt 'Why is the sky blue?'
    calm generate anchor --chat --tools tools.json --prompt 'Will it rain in Oslo?'

  A composition without its second specialist, and with half the weight of the first:
    calm generate composition --scale 0.5 --scale 0 --prompt 'kip ='

  A composition whose models have moved since it was made:
    calm generate composition --anchor models/anchor \
        --augmenting models/specialist --prompt 'kip ='

The paths in composition.json are looked up as they stand, relative ones in the current
directory and then in the composition's; hf:owner/name@commit is fetched. Models with
other weights than those that the composition was made for are refused.";

/// Prompts decoded together. More are hardly faster on a processor, and cost memory.
const ROWS: usize = 64;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    scales: ScaleArgs,
    /// Text to continue; may be given several times [default: the lines of standard input]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// Put each prompt as a user's question into the model's chat template
    #[arg(long)]
    chat: bool,
    /// With --chat, the system message before the question
    #[arg(
        long,
        value_name = "TEXT",
        requires = "chat",
        allow_hyphen_values = true
    )]
    system: Option<String>,
    /// With --chat, a JSON list of the functions that the model may call
    #[arg(long, value_name = "FILE", requires = "chat")]
    tools: Option<PathBuf>,
    /// With --chat, a JSON list of documents to answer from
    #[arg(long, value_name = "FILE", requires = "chat")]
    documents: Option<PathBuf>,
    /// Most tokens to add to a prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    max_new_tokens: usize,
    /// Text that ends a continuation and is left out; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// Show the continuation of a single prompt while it is written
    #[arg(long)]
    stream: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
}

#[derive(Debug, Args)]
struct SamplingArgs {
    /// Sample tokens, fixed by --seed, with logits divided by this [default: take the likeliest]
    #[arg(long, value_name = "X")]
    temperature: Option<f32>,
    /// Sample from this number of the likeliest tokens only
    #[arg(long, value_name = "N", requires = "temperature")]
    top_k: Option<usize>,
    /// Sample from the likeliest tokens only that together have this probability
    #[arg(long, value_name = "P", requires = "temperature")]
    top_p: Option<f32>,
    /// Sample only from tokens with at least this share of the likeliest one's probability
    #[arg(long, value_name = "P", requires = "temperature")]
    min_p: Option<f32>,
    /// Make tokens that have occurred less likely (above 1) or more so (below)
    #[arg(long, value_name = "X")]
    repetition_penalty: Option<f32>,
}

impl SamplingArgs {
    fn resolve(&self, seed: u64) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            seed,
        }
    }
}

#[derive(Serialize)]
struct Generated<'a> {
    model: &'a str,
    dtype: String,
    continuations: Vec<Continued<'a>>,
}

#[derive(Serialize)]
struct Continued<'a> {
    prompt: &'a str,
    output: String,
    tokens: usize,
    ended: bool,
}

pub(super) fn run(args: &GenerateArgs, common: &Common) -> Result<Report, Failure> {
    common.device()?;
    let (prompts, origin) = prompts(&args.prompt)?;
    if args.stream && (prompts.len() != 1 || common.json) {
        let reason = "shows the text of one prompt; give one, and leave out --json";
        return Err(Failure::flag("--stream", reason));
    }
    let model = Model::load(&args.model, &args.load, &args.scales, common)?;
    let encoded = if args.chat {
        let format = model.composition.chat_format()?;
        let (tools, documents) = (read_list(&args.tools)?, read_list(&args.documents)?);
        let chat = |prompt: &String| Chat {
            tools: tools.clone(),
            documents: documents.clone(),
            ..Chat::question(args.system.as_deref(), prompt)
        };
        let encoded = prompts.iter().map(|prompt| format.prompt(&chat(prompt)));
        encoded.collect::<Result<_, ComposeError>>()?
    } else {
        encode_prompts(&model, &prompts, origin)?
    };
    let options = SequenceOptions {
        max_new_tokens: args.max_new_tokens,
        stop_ids: model.eos().to_vec(),
        stop_texts: args.stop.clone(),
        sampling: args.sampling.resolve(common.seed),
    };
    if args.stream {
        return stream(&model, &encoded, &options);
    }
    let mut continuations = Vec::new();
    for (prompts, encoded) in prompts.chunks(ROWS).zip(encoded.chunks(ROWS)) {
        let found = generate(&model, encoded, &options, |_| ControlFlow::Continue(()))?;
        let found = prompts.iter().zip(found);
        continuations.extend(found.map(|(prompt, continuation)| Continued {
            prompt,
            output: continuation.text,
            tokens: continuation.ids.len(),
            ended: continuation.stopped,
        }));
    }
    let lines = continuations.iter().map(|one| format!("{}\n", one.output));
    let text: String = lines.collect();
    let generated = Generated {
        model: &model.name,
        dtype: model.compute_type(),
        continuations,
    };
    Ok(Report::new(text, generated))
}

/// Continues prompts, and shows their texts while they are written.
fn generate(
    model: &Model,
    prompts: &[ComposedPrompt],
    options: &SequenceOptions,
    mut show: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, Failure> {
    let (composed, tokenizer) = (&model.composition.model, model.tokenizer());
    let show = |_, text: &str| show(text);
    Ok(generate_text(composed, tokenizer, prompts, options, show)?)
}

/// Writes the text of a continuation to standard output as it comes.
fn stream(
    model: &Model,
    prompts: &[ComposedPrompt],
    options: &SequenceOptions,
) -> Result<Report, Failure> {
    let mut written = Ok(());
    generate(model, prompts, options, |text| {
        let mut stdout = io::stdout().lock();
        written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    match written {
        // A reader that went away has seen enough; the end of the line finds that out again.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Io {
            origin: "standard output".to_owned(),
            source: error,
        }),
        _ => Ok(Report::new("\n", ())),
    }
}

fn encode_prompts(
    model: &Model,
    prompts: &[String],
    origin: &str,
) -> Result<Vec<ComposedPrompt>, Failure> {
    let tokenizer = DataTokenizer(model.tokenizer());
    let encode = |(number, prompt): (usize, &String)| {
        let ids = encode_prompt(&tokenizer, number, prompt);
        ids.map(ComposedPrompt::from)
            .map_err(|source| Failure::Text {
                origin: origin.to_owned(),
                source,
            })
    };
    prompts.iter().enumerate().map(encode).collect()
}

/// A file that holds a list of JSON objects, if it is given.
fn read_list(path: &Option<PathBuf>) -> Result<Option<Vec<Value>>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let text =
        calm_files::read_text(path).map_err(|error| Failure::path(path, error.to_string()))?;
    let list: Result<Vec<Map<String, Value>>, _> = serde_json::from_str(&text);
    let list =
        list.map_err(|error| Failure::path(path, format!("is no JSON list of objects: {error}")))?;
    Ok(Some(list.into_iter().map(Value::Object).collect()))
}

/// The lines of a text, behind its byte order mark if it has one.
fn read_lines(mut reader: impl Read) -> io::Result<Vec<String>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let text = calm_files::text(bytes)?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The prompts, and their origin for messages.
fn prompts(given: &[String]) -> Result<(Vec<String>, &'static str), Failure> {
    if !given.is_empty() {
        return Ok((given.to_vec(), "--prompt"));
    }
    let origin = "standard input";
    let stdin = io::stdin();
    let lines: Result<Vec<String>, io::Error> = if stdin.is_terminal() {
        Ok(Vec::new())
    } else {
        read_lines(stdin.lock())
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
