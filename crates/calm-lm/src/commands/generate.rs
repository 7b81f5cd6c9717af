//! `calm generate`: continues prompts.

use std::io::{self, IsTerminal, Read};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use calm_lm::compose::{ComposeError, ComposedPrompt};
use calm_lm::data::encode_prompt;
use calm_lm::models::{Chat, Continuation, SequenceOptions};
use calm_lm::terminal::Stream;
use calm_lm::terminal::silence::{self, Excuse};
use calm_lm::train::DataTokenizer;
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::decoding::{DecodingArgs, Speed, decode};
use super::model::{Model, OpenArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  Continue a text, with a checkpoint or a composition, greedily:
    calm generate datasets/checkpoints/kv-anchor --prompt '12 + 7 - 3 ='
    calm generate composition -p 'Two plus two is' -n 8

  A checkpoint of the Hugging Face Hub, fetched the first time (main, a tag, a commit):
    calm generate hf:HuggingFaceTB/SmolLM2-135M@main --prompt 'Once upon a time'

  Prompts of a file, one per line, as many lines out as in:
    calm generate composition --max-new-tokens 16 < prompts.txt

  Drawn by chance, shown while it is written, up to a full stop:
    calm generate anchor --prompt 'Once' --temperature 0.8 --top-p 0.95 --seed 7 \
        --stop '.' --stream

  A question in the model's chat template; `calm chat` holds a conversation:
    calm generate anchor --chat --system 'Be brief.' --prompt 'Why is the sky blue?'
    calm generate anchor --chat --tools tools.json --prompt 'Will it rain in Oslo?'

  A composition without its second specialist, and with half the weight of the first:
    calm generate both --scale 0.5 --scale 0 --prompt 'Once'

  A composition whose models have moved since it was made:
    calm generate composition --anchor models/anchor \
        --augmenting models/specialist --prompt 'Once'

The paths in composition.json are looked up as they stand, relative ones in the current
directory and then in the composition's; hf:owner/name@commit is fetched. Models with
other weights than those that the composition was made for are refused.

Speed is told on standard error (--quiet: not at all). Tokens per second are those behind
the first one of each continuation.";

/// New tokens of a prompt, if no flag says how many.
const NEW_TOKENS: usize = 64;

/// Prompts decoded together. More are hardly faster on a processor, and cost memory.
const ROWS: usize = 64;

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Text to continue; may be given several times [default: lines of standard input]
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
    /// Show the continuation of a single prompt while it is written
    #[arg(long)]
    stream: bool,
    #[command(flatten, next_help_heading = "Decoding")]
    decoding: DecodingArgs,
}

#[derive(Serialize)]
struct Generated<'a> {
    model: &'a str,
    dtype: String,
    continuations: Vec<Continued<'a>>,
    load_seconds: f64,
    speed: Speed,
}

#[derive(Serialize)]
struct Continued<'a> {
    prompt: &'a str,
    output: String,
    tokens: usize,
    ended: bool,
}

/// A prompt, and how it is continued.
type Task = (ComposedPrompt, SequenceOptions);

pub(super) fn run(args: &GenerateArgs, common: &Common) -> Result<Report, Failure> {
    common.device()?;
    let (prompts, origin) = prompts(&args.prompt)?;
    if args.stream && (prompts.len() != 1 || common.json) {
        let reason = "shows the text of one prompt; give one, and leave out --json";
        return Err(Failure::flag("--stream", reason));
    }
    let begun = Instant::now();
    let model = args.open.open(common)?;
    let load_seconds = begun.elapsed().as_secs_f64();
    silence::doing("writing");
    let tasks = args.tasks(&model, &prompts, origin, common.seed)?;
    let mut speed = Speed::default();
    let mut continuations = Vec::new();
    let mut stream = Stream::new(args.stream);
    for (prompts, tasks) in prompts.chunks(ROWS).zip(tasks.chunks(ROWS)) {
        let found = generate(&model, tasks, &mut speed, |text| stream.show(text))?;
        let found = prompts.iter().zip(found);
        continuations.extend(found.map(|(prompt, continuation)| Continued {
            prompt,
            output: continuation.text,
            tokens: continuation.ids.len(),
            ended: continuation.stopped,
        }));
    }
    stream.finish().map_err(Failure::output)?;
    let lines = continuations.iter().map(|one| format!("{}\n", one.output));
    let text = if args.stream {
        "\n".to_owned()
    } else {
        lines.collect()
    };
    let note = format!("loaded in {load_seconds:.2} s, {}", speed.text());
    let generated = Generated {
        model: &model.name,
        dtype: model.compute_type(),
        continuations,
        load_seconds,
        speed,
    };
    Ok(Report::new(text, generated).noting((!common.quiet).then_some(note)))
}

/// Continues prompts, and shows their texts while they are written.
fn generate(
    model: &Model,
    tasks: &[Task],
    speed: &mut Speed,
    show: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Vec<Continuation>, Failure> {
    let mut session = model.composition.session();
    for (prompt, options) in tasks {
        speed.prompt_tokens += prompt.ids.len();
        session.add(prompt.clone(), options)?;
    }
    decode(&mut session, speed, show)
}

impl GenerateArgs {
    fn tasks(
        &self,
        model: &Model,
        prompts: &[String],
        origin: &str,
        seed: u64,
    ) -> Result<Vec<Task>, Failure> {
        let encoded = match self.chat {
            true => self.encode_questions(model, prompts)?,
            false => encode_prompts(model, prompts, origin)?,
        };
        let with_options = |prompt: ComposedPrompt| {
            let tokens = prompt.ids.len();
            let options = self
                .decoding
                .options(tokens, NEW_TOKENS, model.eos(), seed)?;
            Ok((prompt, options))
        };
        encoded.into_iter().map(with_options).collect()
    }

    /// The prompts as questions in the model's chat template.
    fn encode_questions(
        &self,
        model: &Model,
        prompts: &[String],
    ) -> Result<Vec<ComposedPrompt>, Failure> {
        let format = model.composition.chat_format()?;
        let (tools, documents) = (read_list(&self.tools)?, read_list(&self.documents)?);
        let chat = |prompt: &String| Chat {
            tools: tools.clone(),
            documents: documents.clone(),
            ..Chat::question(self.system.as_deref(), prompt)
        };
        let encoded = prompts.iter().map(|prompt| format.prompt(&chat(prompt)));
        Ok(encoded.collect::<Result<_, ComposeError>>()?)
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
    let _asked = Excuse::new();
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
