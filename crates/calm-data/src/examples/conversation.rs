//! Conversations: messages of which some are answers to be learnt.

use std::sync::Arc;

use serde_json::{Map, Value, json};

/// Messages, and what a chat template may know besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// Objects with a `role` and a `content`, from the first to the last.
    pub messages: Vec<Value>,
    /// Descriptions of functions that the model may call.
    pub tools: Option<Vec<Value>>,
    /// Texts to answer from.
    pub documents: Option<Vec<Value>>,
    /// Other variables of chat templates: the field `chat_template_kwargs`.
    pub variables: Map<String, Value>,
}

/// One answer of a conversation: the messages before it are the prompt, those behind it are not
/// read.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatTurn {
    /// The whole conversation.
    pub conversation: Arc<Conversation>,
    /// Number of the message that is the answer.
    pub answer: usize,
}

impl ChatTurn {
    /// A question and its answer.
    pub fn question(prompt: &str, target: &str) -> Self {
        let messages = vec![
            json!({ "role": "user", "content": prompt }),
            json!({ "role": "assistant", "content": target }),
        ];
        Self {
            conversation: Arc::new(Conversation {
                messages,
                ..Conversation::default()
            }),
            answer: 1,
        }
    }

    /// The messages before the answer.
    pub fn prompt(&self) -> &[Value] {
        &self.conversation.messages[..self.answer]
    }

    /// Text of the answer; empty if it has none, as a call of a function.
    pub fn answer(&self) -> String {
        content(&self.conversation.messages[self.answer])
    }

    /// [`Record::key`](super::Record::key). A single question is known by its text alone.
    pub(super) fn key(&self) -> [String; 2] {
        let role = |message: &Value| message["role"].as_str().map(str::to_owned);
        let asked = self.prompt().iter();
        let asked = asked.filter(|message| role(message).as_deref() != Some("system"));
        let asked: Vec<String> = asked.map(content).collect();
        [
            asked.join("\n").trim().to_owned(),
            self.answer().trim().to_owned(),
        ]
    }
}

/// The text of a message: its content, or the texts of its parts.
fn content(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect()
        }
        _ => String::new(),
    }
}

/// The conversation of a list of messages, with the numbers of those that are answers.
pub(super) fn read(messages: &[Value]) -> Result<(Vec<Value>, Vec<usize>), String> {
    let messages = messages.iter().map(message);
    let messages = messages.collect::<Result<Vec<_>, String>>()?;
    let is_answer = |message: &Value| {
        let is_weightless = message["weight"].as_f64() == Some(0.0);
        message["role"] == "assistant" && !is_weightless
    };
    // Nothing is asked before the first message.
    let answers = (1..messages.len()).filter(|index| is_answer(&messages[*index]));
    let answers = answers.collect();
    Ok((messages, answers))
}

/// A message with `role` and `content`; some programs write `from` and `value`.
fn message(value: &Value) -> Result<Value, String> {
    let Value::Object(fields) = value else {
        return Err(format!(
            "a message is an object with `role` and `content`, not {value}"
        ));
    };
    if fields.get("role").is_some_and(Value::is_string) {
        return Ok(value.clone());
    }
    let (Some(Value::String(from)), Some(text)) = (fields.get("from"), fields.get("value")) else {
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        return Err(format!(
            "a message has the fields `{}`; expected `role` and `content`",
            names.join("`, `")
        ));
    };
    let role = match from.as_str() {
        "human" => "user",
        "gpt" => "assistant",
        other => other,
    };
    Ok(json!({ "role": role, "content": text }))
}
