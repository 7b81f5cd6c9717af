//! Conversations as prompts: chat templates.

mod files;
mod messages;

pub(crate) use self::files::more_templates;

use std::path::{Path, PathBuf};

use calm_template::Template;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::files::{from_json, is_there, read_text};
use crate::stored::StoredModel;
use crate::tokenizer;
use crate::tokenizer::side_files::{MAX_BYTES, TOKENIZER_CONFIG};

pub(crate) const TEMPLATE_FILE: &str = "chat_template.jinja";

/// Where processors of images kept the template before there was [`TEMPLATE_FILE`].
pub(crate) const PROCESSOR_FILE: &str = "chat_template.json";

/// A folder of templates besides the default one, each in a file of its name.
pub(crate) const MORE_TEMPLATES: &str = "additional_chat_templates";

/// Templates are a few kilobytes.
const MAX_TEMPLATE_BYTES: usize = 128 << 10;

/// The template of conversations without tools, and the only one if it has no name.
const DEFAULT: &str = "default";

/// The template of conversations with tools, if there are several.
const TOOL_USE: &str = "tool_use";

/// A conversation to be written as a prompt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chat {
    /// Objects, mostly with a `role` and a `content`, from the first to the last.
    pub messages: Vec<Value>,
    /// Descriptions of functions that the model may call, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Texts to answer from: objects, mostly with a `title` and a `text`.
    pub documents: Option<Vec<Value>>,
    /// Whether the prompt ends with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// Whether the prompt ends within the last message, for the model to go on with it.
    pub continue_final_message: bool,
    /// Other variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

/// A message that is a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// The author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Whoever tells the model, before all others, how to behave.
    System,
    /// Whoever asks.
    User,
    /// The model.
    Assistant,
}

impl Message {
    /// A text of this author.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
        }
    }
}

impl Chat {
    /// A conversation that the model is to answer.
    pub fn to_answer(messages: impl IntoIterator<Item = Message>) -> Self {
        let messages = messages.into_iter().map(|message| json!(message));
        Self {
            messages: messages.collect(),
            add_generation_prompt: true,
            ..Self::default()
        }
    }

    /// A user's question to a model, which is told before it how to behave.
    pub fn question(system: Option<&str>, user: &str) -> Self {
        let system = system.map(|text| Message::new(Role::System, text));
        let user = Message::new(Role::User, user);
        Self::to_answer(system.into_iter().chain([user]))
    }
}

/// A model's chat template: the Jinja text that writes a conversation as the prompt that the model
/// was trained on.
///
/// Rendered as `transformers` does, see [`calm_template`]. A template sees the conversation and nothing
/// else: it can neither read files nor take much time or memory. Of several templates, the one named
/// `tool_use` writes conversations with tools, and `default` all others.
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
    templates: Vec<Named>,
    /// Names of special tokens, and their texts.
    special_tokens: Map<String, Value>,
    path: PathBuf,
}

/// One of the templates of a model.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    source: String,
    template: Template,
}

impl ChatTemplate {
    /// The template of a checkpoint: `chat_template.jinja` and `additional_chat_templates/*.jinja`, or
    /// `chat_template` in `tokenizer_config.json` or in `chat_template.json`; of a GGUF file, those in
    /// its metadata. It sees the special tokens by the names that the files of the tokenizer give them.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if there is none, or the file that holds it is damaged.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::find(path)?.ok_or_else(|| ModelError::ChatTemplate {
            path: path.to_owned(),
            reason: format!(
                "has no chat template, neither {TEMPLATE_FILE} nor chat_template in \
                 {TOKENIZER_CONFIG} or the metadata of a GGUF file; write the prompt yourself, or add the model's own template"
            ),
        })
    }

    /// [`ChatTemplate::read`] where there may be none.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if the file that holds it is damaged.
    pub fn find(path: &Path) -> Result<Option<Self>, ModelError> {
        match StoredModel::open(path)? {
            StoredModel::Directory(dir) => Self::find_in(&dir),
            StoredModel::Gguf(gguf) => {
                let sources = gguf.chat_templates()?;
                let special_tokens = gguf.special_tokens()?;
                let has_any = !sources.is_empty();
                let template = has_any.then(|| Self::of(sources, &special_tokens, path));
                template.transpose()
            }
        }
    }

    fn find_in(dir: &Path) -> Result<Option<Self>, ModelError> {
        let config = read_object(&dir.join(TOKENIZER_CONFIG))?;
        let special_tokens = tokenizer::special_tokens(dir)?;
        let Some((path, sources)) = files::sources(dir, &config)? else {
            return Ok(None);
        };
        Self::of(sources, &special_tokens, &path).map(Some)
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
        let sources = vec![(DEFAULT.to_owned(), source.to_owned())];
        Self::of(sources, special_tokens, path)
    }

    /// Reads templates with their names.
    fn of(
        sources: Vec<(String, String)>,
        special_tokens: &Map<String, Value>,
        path: &Path,
    ) -> Result<Self, ModelError> {
        let fail = |reason| refusal(path, reason);
        let templates = sources.into_iter().map(|(name, source)| {
            let bytes = source.len();
            if bytes > MAX_TEMPLATE_BYTES {
                return Err(fail(format!(
                    "the chat template has {bytes} bytes; it may have {MAX_TEMPLATE_BYTES}"
                )));
            }
            let template = Template::new(&source).map_err(|error| fail(error.to_string()))?;
            Ok(Named {
                name,
                source,
                template,
            })
        });
        Ok(Self {
            templates: templates.collect::<Result<_, ModelError>>()?,
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
        let fail = |reason| refusal(&self.path, reason);
        let Named {
            source, template, ..
        } = self.chosen(chat)?;
        let mut prepared = messages::prepared(&chat.messages).map_err(fail)?;
        let end = match (chat.continue_final_message, chat.add_generation_prompt) {
            (false, _) => None,
            (true, false) => Some(messages::mark_end(&mut prepared, source).map_err(fail)?),
            (true, true) => {
                let reason = "a prompt cannot both go on with the last message and begin an answer";
                return Err(fail(reason.to_owned()));
            }
        };
        let mut variables = self.special_tokens.clone();
        variables.extend(chat.variables.clone());
        variables.insert("messages".to_owned(), prepared.into());
        variables.insert("tools".to_owned(), json!(chat.tools));
        variables.insert("documents".to_owned(), json!(chat.documents));
        let add = json!(chat.add_generation_prompt);
        variables.insert("add_generation_prompt".to_owned(), add);
        let rendered = template.render(&variables);
        let text = rendered.map_err(|error| fail(error.to_string()))?;
        match end {
            Some(end) => end.cut(text).map_err(fail),
            None => Ok(text),
        }
    }

    /// The template for a conversation.
    fn chosen(&self, chat: &Chat) -> Result<&Named, ModelError> {
        let named = |name| self.templates.iter().find(|template| template.name == name);
        let with_tools = chat.tools.as_ref().and_then(|_| named(TOOL_USE));
        with_tools.or_else(|| named(DEFAULT)).ok_or_else(|| {
            let names: Vec<&str> = self.templates.iter().map(|named| &*named.name).collect();
            let names = names.join(", ");
            refusal(
                &self.path,
                format!("has several chat templates, and none is named {DEFAULT}: {names}"),
            )
        })
    }

    /// SHA-256 of all that decides what it writes of a conversation: the texts of the templates, and
    /// the special tokens that they name.
    pub fn sha256(&self) -> String {
        let templates = self.templates.iter();
        let texts: Vec<[&str; 2]> = templates
            .map(|named| [&*named.name, &*named.source])
            .collect();
        calm_files::sha256(json!([texts, self.special_tokens]).to_string())
    }

    /// The file that it is from.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn refusal(path: &Path, reason: String) -> ModelError {
    ModelError::ChatTemplate {
        path: path.to_owned(),
        reason,
    }
}

fn read_object(path: &Path) -> Result<Map<String, Value>, ModelError> {
    if !is_there(path) {
        return Ok(Map::new());
    }
    from_json(&read_text(path, MAX_BYTES)?, path)
}
