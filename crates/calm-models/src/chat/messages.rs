//! Messages as `transformers` prepares them for a template.

use serde_json::{Map, Value};

/// Names of a message's reasoning. The first is the standard one, which most templates read.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Stands behind the last message where the prompt is to end; `transformers` uses the same words.
const END: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

/// The messages without fields that are null, which some programs write for what a message lacks, and
/// with their reasoning under all the names that templates know.
pub(super) fn prepared(messages: &[Value]) -> Result<Vec<Value>, String> {
    let prepare = |message: &Value| match message {
        Value::Object(fields) => {
            let mut fields = fields.clone();
            fields.retain(|_, value| !value.is_null());
            Ok(Value::Object(with_reasoning(fields)))
        }
        other => Err(format!("a message of a chat is an object, not {other}")),
    };
    messages.iter().map(prepare).collect()
}

fn with_reasoning(fields: Map<String, Value>) -> Map<String, Value> {
    let found = REASONING.iter().find_map(|name| fields.get(*name));
    let Some(reasoning) = found.cloned() else {
        return fields;
    };
    let mut named = Map::new();
    named.insert(REASONING[1].to_owned(), reasoning.clone());
    named.extend(fields);
    named.insert(REASONING[0].to_owned(), reasoning);
    named
}

/// The place where a prompt ends that goes on with its last message.
pub(super) struct End {
    /// Text of the last message.
    text: String,
}

/// Marks the end of the last message for a template.
pub(super) fn mark_end(messages: &mut [Value], source: &str) -> Result<End, String> {
    let Some(last) = messages.last_mut() else {
        return Err("there is no message to go on with".to_owned());
    };
    if !source.contains("content") {
        return Err("the chat template reads no content that could be gone on with".to_owned());
    }
    let text = match &mut last["content"] {
        Value::Array(parts) => {
            let has_text = |part: &&mut Value| part.get("text").is_some_and(Value::is_string);
            parts
                .iter_mut()
                .rev()
                .find(has_text)
                .map(|part| &mut part["text"])
        }
        text @ Value::String(_) => Some(text),
        _ => None,
    };
    let Some(Value::String(text)) = text else {
        return Err("the last message has no text to go on with".to_owned());
    };
    let end = End { text: text.clone() };
    text.push_str(END);
    Ok(end)
}

impl End {
    /// The rendered text up to the mark.
    pub(super) fn cut(&self, mut rendered: String) -> Result<String, String> {
        let place = rendered.rfind(END.trim_end());
        let Some(place) = place.filter(|_| rendered.contains(self.text.trim())) else {
            return Err(
                "the chat template leaves out a part of the last message, so that a prompt cannot \
                 go on with it"
                    .to_owned(),
            );
        };
        let is_spaced = rendered[place..].starts_with(END);
        rendered.truncate(place);
        if !is_spaced {
            // The template trims messages.
            rendered.truncate(rendered.trim_end().len());
        }
        Ok(rendered)
    }
}
