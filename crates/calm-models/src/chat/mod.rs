//! Conversations as prompts: chat templates.

mod python;
mod value;

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, Output, State};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::files::{from_json, is_there, read_text};
use crate::tokenizer;
use crate::tokenizer::side_files::{MAX_BYTES, TOKENIZER_CONFIG};

pub(crate) const TEMPLATE_FILE: &str = "chat_template.jinja";

/// Templates are a few kilobytes.
const MAX_TEMPLATE_BYTES: usize = 128 << 10;

/// Fuel of one conversation: an instruction takes 1, and so do 64 bytes of any text made on
/// the way. Long conversations take a few ten thousand.
const FUEL: u64 = 1_000_000;

/// Bytes of a list's text that one unit of fuel pays for.
const LIST_BYTES: u64 = 4;

/// Time limit for work that fuel does not count: texts made, other than by printing, of lists that
/// hold a list many times, which holds another many times, and so on; also long chains of
/// some operators, which the engine goes through from each of them. The thread is left to itself.
const TIME: Duration = Duration::from_secs(2);

/// Values may be nested about as deep as fuel lasts, and are dropped recursively. Operations may be
/// as many as the template has characters, each of which is compiled within the one before it.
const STACK_BYTES: usize = 512 << 20;

/// The name under which messages mention the template.
const NAME: &str = "chat_template";

/// A conversation to be written as a prompt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chat {
    /// Objects, mostly with a `role` and a `content`, from the first to the last.
    pub messages: Vec<Value>,
    /// Descriptions of functions that the model may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Whether the prompt ends with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// Other variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

impl Chat {
    /// A user's question to a model, which is told before it how to behave.
    pub fn question(system: Option<&str>, user: &str) -> Self {
        let system = system.map(|text| json!({ "role": "system", "content": text }));
        let user = json!({ "role": "user", "content": user });
        Self {
            messages: system.into_iter().chain([user]).collect(),
            add_generation_prompt: true,
            ..Self::default()
        }
    }
}

/// A model's chat template: the Jinja text that writes a conversation as the prompt that the model
/// was trained on.
///
/// Rendered as `transformers` does (`utils/chat_template_utils.py`), with `raise_exception`,
/// `strftime_now`, its own `tojson`, `namespace`, `break` and `continue`, blocks that leave no blank
/// lines, and methods of Python's strings and dictionaries. A template sees the conversation and
/// nothing else: it can neither read files nor run longer, or make larger texts, than its fuel
/// allows, and is given up after two seconds.
///
/// Departs from `transformers`: a dictionary that the template itself writes down, unlike those of
/// the conversation, is sorted by its keys.
///
/// ```
/// # use std::path::Path;
/// # use calm_models::{Chat, ChatTemplate};
/// let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}";
/// let template = ChatTemplate::new(source, &Default::default(), Path::new("chat_template.jinja"))?;
/// let prompt = template.render(&Chat::question(Some("Be brief."), "Why?"))?;
/// assert_eq!(prompt, "<system>Be brief.</s><user>Why?</s>");
/// # Ok::<(), calm_models::ModelError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    /// Names of special tokens, and their texts.
    special_tokens: Map<String, Value>,
    path: PathBuf,
}

impl ChatTemplate {
    /// The template of a checkpoint: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json`; of several, the default one. It sees the special tokens by the names
    /// that the files of the tokenizer give them.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if there is none, or the file that holds it is damaged.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        Self::find(dir)?.ok_or_else(|| ModelError::ChatTemplate {
            path: dir.to_owned(),
            reason: format!(
                "has no chat template, neither {TEMPLATE_FILE} nor chat_template in \
                 {TOKENIZER_CONFIG}; write the prompt yourself, or add the model's own template"
            ),
        })
    }

    /// [`ChatTemplate::read`] where there may be none.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the file that holds it is damaged.
    pub fn find(dir: &Path) -> Result<Option<Self>, ModelError> {
        let path = dir.join(TOKENIZER_CONFIG);
        let config = read_object(&path)?;
        let special_tokens = tokenizer::special_tokens(dir)?;
        let own_file = dir.join(TEMPLATE_FILE);
        if is_there(&own_file) {
            let source = read_text(&own_file, MAX_BYTES)?;
            return Self::new(&source, &special_tokens, &own_file).map(Some);
        }
        let source = config.get("chat_template").and_then(default_template);
        let template = source.map(|source| Self::new(source, &special_tokens, &path));
        template.transpose()
    }

    /// A template from its text and the special tokens that it may name, such as `bos_token`;
    /// `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`ModelError::ChatTemplate`] if it is no template.
    pub fn new(
        source: &str,
        special_tokens: &Map<String, Value>,
        path: &Path,
    ) -> Result<Self, ModelError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            let bytes = source.len();
            return Err(ModelError::ChatTemplate {
                path: path.to_owned(),
                reason: format!(
                    "the chat template has {bytes} bytes; it may have {MAX_TEMPLATE_BYTES}"
                ),
            });
        }
        let source = without_generation_blocks(source);
        let environment = in_time(path, || compile(source))?;
        Ok(Self {
            environment,
            special_tokens: special_tokens.clone(),
            path: path.to_owned(),
        })
    }

    /// The prompt for a conversation. It holds the special tokens, so it is tokenised without
    /// adding any.
    ///
    /// # Errors
    ///
    /// [`ModelError::ChatTemplate`] if the template refuses the conversation, fails or takes too
    /// long.
    pub fn render(&self, chat: &Chat) -> Result<String, ModelError> {
        let environment = self.environment.clone();
        let variables = self.variables(chat);
        in_time(&self.path, move || {
            let template = environment.get_template(NAME)?;
            template.render(value::from_json(&variables))
        })
    }

    /// The file that it is from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that the template sees.
    fn variables(&self, chat: &Chat) -> Value {
        let mut variables = self.special_tokens.clone();
        variables.extend(chat.variables.clone());
        let messages = chat.messages.iter().map(without_nulls);
        variables.insert("messages".to_owned(), messages.collect());
        variables.insert("tools".to_owned(), json!(chat.tools));
        variables.insert("documents".to_owned(), Value::Null);
        let add = json!(chat.add_generation_prompt);
        variables.insert("add_generation_prompt".to_owned(), add);
        Value::Object(variables)
    }
}

/// Runs the engine on a thread with room for what a template nests, until time is up.
fn in_time<T: Send + 'static>(
    path: &Path,
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, ModelError> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(STACK_BYTES);
    let thread = thread.spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(run());
    });
    let thread = thread.map_err(|source| ModelError::Io {
        path: path.to_owned(),
        source,
    })?;
    match receiver.recv_timeout(TIME) {
        Ok(outcome) => outcome.map_err(|error| template_error(path, &error)),
        Err(reason) => {
            // Nothing but a panic ends the thread before it has sent.
            if reason == RecvTimeoutError::Disconnected
                && let Err(panic) = thread.join()
            {
                std::panic::resume_unwind(panic);
            }
            Err(template_error(path, &Error::from(ErrorKind::OutOfFuel)))
        }
    }
}

/// All that a template may use, and the template.
fn compile(source: String) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(print);
    environment.set_unknown_method_callback(python::call_method);
    environment.add_filter("tojson", python::tojson);
    environment.add_function("strftime_now", python::strftime_now);
    environment.add_function("raise_exception", raise_exception);
    environment.add_template_owned(NAME, source)?;
    Ok(environment)
}

/// Some programs write `null` for what a message lacks; templates expect it not to be there.
fn without_nulls(message: &Value) -> Value {
    let mut message = message.clone();
    if let Value::Object(fields) = &mut message {
        fields.retain(|_, value| !value.is_null());
    }
    message
}

fn read_object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    if !is_there(path) {
        return Ok(Map::new());
    }
    from_json(&read_text(path, MAX_BYTES)?, path)
}

/// A template, or of a list of them the one that is named so.
fn default_template(config: &Value) -> Option<&str> {
    match config {
        Value::String(source) => Some(source),
        Value::Array(templates) => templates
            .iter()
            .find(|template| template["name"] == "default")
            .and_then(|template| template["template"].as_str()),
        _ => None,
    }
}

/// `generation` blocks mark what the model wrote, for training; otherwise they are scopes, which
/// `with` makes.
fn without_generation_blocks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let (before, tag) = rest.split_at(start + 2);
        let (tag, after) = tag.split_at(tag.find("%}").unwrap_or(tag.len()));
        out.push_str(before);
        match tag.trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+') {
            "generation" => out.push_str(&tag.replace("generation", "with")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endwith")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out + rest
}

/// Blocks leave no blank lines.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the usual delimiters differ from each other")
}

/// Prints a value, numbers as Python does, once it is sure that there is fuel for its text, however
/// often it holds the same list: the engine counts only what it has written.
fn print(out: &mut Output, state: &mut State, value: &minijinja::Value) -> Result<(), Error> {
    if value.is_number() && f64::try_from(value.clone()).is_ok_and(f64::is_finite) {
        return Ok(out.write_str(&python::number(value))?);
    }
    if value.as_object().is_some() && write!(Affordable(FUEL * LIST_BYTES), "{value}").is_err() {
        return Err(Error::from(ErrorKind::OutOfFuel));
    }
    minijinja::escape_formatter(out, state, value)
}

/// Takes so many bytes and drops them.
struct Affordable(u64);

impl Write for Affordable {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = self.0.checked_sub(text.len() as u64);
        self.0 = left.ok_or(fmt::Error)?;
        Ok(())
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn template_error(path: &Path, error: &Error) -> ModelError {
    let reason = if is_out_of_fuel(error) {
        "the chat template runs too long or makes too much text; it may never end".to_owned()
    } else {
        error.to_string()
    };
    ModelError::ChatTemplate {
        path: path.to_owned(),
        reason,
    }
}

/// Fuel may run out inside something that then fails.
fn is_out_of_fuel(error: &Error) -> bool {
    let first: &dyn std::error::Error = error;
    std::iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<Error>())
        .any(|error| error.kind() == ErrorKind::OutOfFuel)
}
