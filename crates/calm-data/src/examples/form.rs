//! Forms of rows: which fields are the prompt, the target or the text.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Record;
use super::conversation::{self, ChatTurn, Conversation};
use crate::jsonl::PromptTarget;

/// Fields of a row.
pub type Fields = Map<String, Value>;

/// Names of a prompt and its target that are known, the first that a row has counting.
const PAIRS: [[&str; 2]; 9] = [
    ["prompt", "target"],
    ["prompt", "completion"],
    ["prompt", "response"],
    ["question", "answer"],
    ["query", "response"],
    ["input", "output"],
    ["input", "target"],
    ["source", "target"],
    ["question", "target"],
];

/// Names of a list of messages.
const MESSAGES: [&str; 2] = ["messages", "conversations"];

/// How rows become [`Record`]s. Without any field of its own it knows the usual names.
///
/// ```
/// use calm_data::{ExampleForm, Record};
///
/// let row = r#"{"question": "1 + 1?", "answer": "2"}"#;
/// let records = ExampleForm::default().records(&serde_json::from_str(row)?)?;
/// assert!(matches!(&*records, [Record::PromptTarget(pair)] if pair.target == "2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExampleForm {
    /// Field of the prompt.
    pub prompt_field: Option<String>,
    /// Field of the target.
    pub target_field: Option<String>,
    /// Field of a plain text.
    pub text_field: Option<String>,
    /// Whether a prompt is a user's question in the models' chat templates, and the target its answer.
    pub chat: bool,
    /// Field of the parts of the prompt that masking may hide; none where nothing is masked.
    pub mask_field: Option<String>,
}

impl ExampleForm {
    /// The examples of a row: one, or one for each answer of a conversation.
    ///
    /// # Errors
    ///
    /// The fault of the row, in words.
    pub fn records(&self, row: &Fields) -> Result<Vec<Record>, String> {
        if let Some(field) = &self.text_field {
            return self.text(row, field);
        }
        if self.prompt_field.is_some() || self.target_field.is_some() {
            return self.named(row);
        }
        let has = |field: &str| value(row, field).is_some();
        if let Some(field) = MESSAGES.into_iter().find(|field| has(field)) {
            self.check_unmasked()?;
            return messages(row, field);
        }
        let pair_of = |prefix: &str| {
            let mut pairs = PAIRS.into_iter().filter(|pair| pair[0].starts_with(prefix));
            pairs.find(|pair| pair.iter().all(|field| has(field)))
        };
        if let Some([prompt, target]) = pair_of("prompt") {
            return self.pair(row, &row[prompt], (prompt, target));
        }
        if has("instruction")
            && let Some(target) = ["output", "response", "completion"]
                .into_iter()
                .find(|field| has(field))
        {
            let prompt = instruction(row)?;
            return self.pair(row, &Value::String(prompt), ("instruction", target));
        }
        if let Some([prompt, target]) = pair_of("") {
            return self.pair(row, &row[prompt], (prompt, target));
        }
        // A row with one field of a pair should have both.
        for [present, missing] in [["prompt", "target"], ["target", "prompt"]] {
            if has(present) {
                return Err(misfit(
                    row,
                    &format!("missing field `{missing}` beside `{present}`"),
                ));
            }
        }
        match has("text") {
            true => self.text(row, "text"),
            false => Err(misfit(row, "fits no form of example")),
        }
    }

    /// Whether nothing is asked for but the usual names.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    fn text(&self, row: &Fields, field: &str) -> Result<Vec<Record>, String> {
        let text = text_of(row, field)?;
        if let Some(mask) = self
            .mask_field
            .as_ref()
            .filter(|mask| value(row, mask).is_some())
        {
            return Err(format!(
                "is a plain text, which has no prompt that `{mask}` could name parts of"
            ));
        }
        match self.chat {
            true => Err(
                "is a plain text, which has no place in a chat template; leave out --chat"
                    .to_owned(),
            ),
            false => Ok(vec![Record::Text(text)]),
        }
    }

    /// A pair of which one field or both are named.
    fn named(&self, row: &Fields) -> Result<Vec<Record>, String> {
        let usual = |side: usize, given: &Option<String>| match given {
            Some(field) => Some(field.clone()),
            None => {
                let names = PAIRS.iter().map(|pair| pair[side]);
                let names = names.chain([["instruction", "output"][side]]);
                let mut names = names.filter(|name| value(row, name).is_some());
                names.next().map(str::to_owned)
            }
        };
        let missing = |flag: &str| {
            misfit(
                row,
                &format!("{flag} is not given, and no usual name is among the fields"),
            )
        };
        let prompt = usual(0, &self.prompt_field).ok_or_else(|| missing("--prompt-field"))?;
        let target = usual(1, &self.target_field).ok_or_else(|| missing("--target-field"))?;
        let found =
            value(row, &prompt).ok_or_else(|| misfit(row, &format!("missing field `{prompt}`")))?;
        self.pair(row, found, (&prompt, &target))
    }

    /// A prompt and the target in the field of that name; `names` are for messages.
    fn pair(
        &self,
        row: &Fields,
        prompt: &Value,
        names: (&str, &str),
    ) -> Result<Vec<Record>, String> {
        let missing = || misfit(row, &format!("missing field `{}`", names.1));
        let target = value(row, names.1).ok_or_else(missing)?;
        if self.chat || prompt.is_array() || target.is_array() {
            self.check_unmasked()?;
        }
        if prompt.is_array() || target.is_array() {
            let (prompt, target) = (
                said("user", prompt, names.0)?,
                said("assistant", target, names.1)?,
            );
            let first = prompt.len();
            let (messages, answers) = conversation::read(&[prompt, target].concat())?;
            // Answers within the prompt are given, not asked for.
            let answers = answers.into_iter().filter(|answer| *answer >= first);
            return turns(row, messages, answers.collect(), names.1);
        }
        let (prompt, target) = (text(prompt, names.0)?, text(target, names.1)?);
        Ok(vec![match self.chat {
            true => Record::Chat(ChatTurn::question(&prompt, &target)),
            false => Record::PromptTarget(PromptTarget {
                mask: self.mask(row, &prompt)?,
                prompt,
                target,
            }),
        }])
    }

    /// Refuses a conversation where words are hidden from the anchor: its text is written by chat
    /// templates, in which no part of it has a place that a row could name.
    fn check_unmasked(&self) -> Result<(), String> {
        match self.mask_field {
            None => Ok(()),
            Some(_) => Err(
                "is a conversation, of which anchor masking knows no words; give prompts and targets \
                 without --chat, or leave out --mask-anchor"
                    .to_owned(),
            ),
        }
    }

    /// Parts of the prompt that masking may hide; none if it is all, or nothing is masked.
    fn mask(&self, row: &Fields, prompt: &str) -> Result<Option<Vec<[usize; 2]>>, String> {
        let Some(field) = &self.mask_field else {
            return Ok(None);
        };
        let Some(ranges) = list_of(row, field)? else {
            return Ok(None);
        };
        let characters = prompt.chars().count();
        let range = |range: Value| {
            let read = serde_json::from_value(range.clone()).ok();
            read.filter(|[start, end]: &[usize; 2]| start <= end && *end <= characters)
                .ok_or_else(|| {
                    format!(
                        "`{field}` has {range}; expected [start, end) in characters of the prompt, \
                         which has {characters}"
                    )
                })
        };
        ranges
            .into_iter()
            .map(range)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

/// A list of messages, or a text as one.
fn said(role: &str, value: &Value, field: &str) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(messages) => Ok(messages.clone()),
        _ => Ok(vec![
            serde_json::json!({ "role": role, "content": text(value, field)? }),
        ]),
    }
}

/// The instruction with its input, if it has one.
fn instruction(row: &Fields) -> Result<String, String> {
    let parts = ["instruction", "input", "context"].into_iter();
    let parts = parts.filter(|field| value(row, field).is_some());
    let parts: Vec<String> = parts
        .map(|field| text_of(row, field))
        .collect::<Result<_, _>>()?;
    let said = parts.iter().filter(|part| !part.trim().is_empty());
    Ok(said.map(String::as_str).collect::<Vec<_>>().join("\n\n"))
}

/// Every answer of a conversation.
fn messages(row: &Fields, field: &str) -> Result<Vec<Record>, String> {
    let Some(list) = list_of(row, field)? else {
        return Err(format!("`{field}` is no list of messages"));
    };
    let (messages, answers) = conversation::read(&list)?;
    turns(row, messages, answers, field)
}

fn turns(
    row: &Fields,
    messages: Vec<Value>,
    answers: Vec<usize>,
    field: &str,
) -> Result<Vec<Record>, String> {
    if answers.is_empty() {
        return Err(format!(
            "`{field}` has no message of the role assistant behind another, so there is nothing to learn"
        ));
    }
    let variables = match value(row, "chat_template_kwargs") {
        Some(Value::Object(variables)) => variables.clone(),
        _ => Map::new(),
    };
    let conversation = Arc::new(Conversation {
        messages,
        tools: list_of(row, "tools")?.filter(|tools| !tools.is_empty()),
        documents: list_of(row, "documents")?.filter(|documents| !documents.is_empty()),
        variables,
    });
    let turn = |answer| {
        Record::Chat(ChatTurn {
            conversation: conversation.clone(),
            answer,
        })
    };
    Ok(answers.into_iter().map(turn).collect())
}

/// A list, or the JSON text of one, which tables have.
fn list_of(row: &Fields, field: &str) -> Result<Option<Vec<Value>>, String> {
    match value(row, field) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.clone())),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => {
            let list = serde_json::from_str(text);
            list.map(Some)
                .map_err(|error| format!("`{field}` is no JSON list: {error}"))
        }
        Some(other) => Err(format!("`{field}` is {}; expected a list", kind(other))),
    }
}

/// A field, or one within another: `answers.text.0`. One that is null is none.
fn value<'a>(row: &'a Fields, field: &str) -> Option<&'a Value> {
    let found = row.get(field).or_else(|| {
        let (first, rest) = field.split_once('.')?;
        row.get(first)?
            .pointer(&format!("/{}", rest.replace('.', "/")))
    });
    found.filter(|value| !value.is_null())
}

fn text_of(row: &Fields, field: &str) -> Result<String, String> {
    let found =
        value(row, field).ok_or_else(|| misfit(row, &format!("missing field `{field}`")))?;
    text(found, field)
}

/// A text. A whole number is one, too; other numbers can be written in several ways.
fn text(value: &Value, field: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        other => Err(format!(
            "invalid type: `{field}` is {}; expected a text",
            kind(other)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number with a fraction",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The fault, the fields that there are, and the ways out.
fn misfit(row: &Fields, wrong: &str) -> String {
    let names: Vec<String> = row
        .keys()
        .take(20)
        .map(|name| format!("`{name}`"))
        .collect();
    let names = match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    };
    format!(
        "{wrong}; the fields are {names}; name them with --prompt-field and --target-field, or a plain \
         text with --text-field, or call them `prompt` and `target`, `question` and `answer`, \
         `instruction` and `output`, `messages`, or `text`"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn records(
        form: &ExampleForm,
        row: impl std::borrow::Borrow<Value>,
    ) -> Result<Vec<Record>, String> {
        form.records(row.borrow().as_object().unwrap())
    }

    fn pair(form: &ExampleForm, row: Value) -> [String; 2] {
        match &*records(form, row).unwrap() {
            [Record::PromptTarget(pair)] => [pair.prompt.clone(), pair.target.clone()],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn usual_names_are_known() {
        let usual = ExampleForm::default();
        for row in [
            json!({ "prompt": "a", "target": "b", "text": 3 }),
            json!({ "prompt": "a", "completion": "b" }),
            json!({ "question": "a", "answer": "b", "id": 1.5 }),
            json!({ "instruction": "a", "input": "", "output": "b" }),
            json!({ "instruction": "a", "context": null, "response": "b", "text": "a b" }),
            json!({ "input": "a", "output": "b" }),
        ] {
            assert_eq!(pair(&usual, row.clone()), ["a", "b"], "{row}");
        }
        let alpaca = json!({ "instruction": "Add.", "input": "1, 2", "output": 3 });
        assert_eq!(pair(&usual, alpaca), ["Add.\n\n1, 2", "3"]);
        let text = records(&usual, json!({ "text": "a", "prompt": null })).unwrap();
        assert_eq!(text, [Record::Text("a".to_owned())]);
    }

    #[test]
    fn fields_can_be_named() {
        let form = |prompt: Option<&str>, target: Option<&str>| ExampleForm {
            prompt_field: prompt.map(str::to_owned),
            target_field: target.map(str::to_owned),
            ..ExampleForm::default()
        };
        let row =
            json!({ "q": "a", "answers": { "text": ["b", "c"] }, "question": "d", "answer": "e" });
        assert_eq!(
            pair(&form(Some("q"), Some("answers.text.0")), row.clone()),
            ["a", "b"]
        );
        assert_eq!(pair(&form(Some("q"), None), row.clone()), ["a", "e"]);
        assert_eq!(
            pair(&form(None, Some("answers.text.1")), row.clone()),
            ["d", "c"]
        );
        let error = records(&form(Some("x"), None), row.clone()).unwrap_err();
        assert!(
            error.contains("missing field `x`") && error.contains("`q`, `answers`"),
            "{error}"
        );
        let text = ExampleForm {
            text_field: Some("q".to_owned()),
            ..ExampleForm::default()
        };
        assert_eq!(records(&text, row).unwrap(), [Record::Text("a".to_owned())]);
    }

    #[test]
    fn every_answer_of_a_conversation_is_an_example() {
        let usual = ExampleForm::default();
        let said = |role: &str, text: &str| json!({ "role": role, "content": text });
        let messages = json!([
            said("system", "s"),
            said("user", "a"),
            said("assistant", "b"),
            said("user", "c"),
            json!({ "role": "assistant", "content": "d", "weight": 0 }),
            said("user", "e"),
            said("assistant", "f"),
        ]);
        let found = records(&usual, json!({ "messages": messages, "prompt": "x" })).unwrap();
        let keys: Vec<[String; 2]> = found.iter().map(Record::key).collect();
        assert_eq!(keys, [["a", "b"], ["a\nb\nc\nd\ne", "f"]]);
        let as_text = json!({ "messages": messages.to_string() });
        assert_eq!(records(&usual, as_text).unwrap(), found);
        let shared = json!({ "conversations": [
            { "from": "human", "value": "a" }, { "from": "gpt", "value": "b" },
        ]});
        assert_eq!(records(&usual, shared).unwrap()[0].key(), ["a", "b"]);
        // Answers of the prompt are not learnt.
        let apart = json!({
            "prompt": [said("user", "a"), said("assistant", "b"), said("user", "c")],
            "completion": [said("assistant", "d")],
        });
        let found = records(&usual, apart).unwrap();
        assert_eq!(
            (found.len(), found[0].key()),
            (1, ["a\nb\nc".to_owned(), "d".to_owned()])
        );
        for (bad, part) in [
            (
                json!({ "messages": [said("user", "a")] }),
                "no message of the role assistant",
            ),
            (
                json!({ "messages": [said("assistant", "a")] }),
                "no message of the role assistant",
            ),
            (json!({ "messages": ["a"] }), "a message is an object"),
            (json!({ "messages": [{ "speaker": "a" }] }), "`speaker`"),
            (json!({ "messages": 3 }), "expected a list"),
        ] {
            let error = records(&usual, bad).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn chat_makes_questions_of_prompts() {
        let chat = ExampleForm {
            chat: true,
            ..ExampleForm::default()
        };
        let found = records(&chat, json!({ "question": "a", "answer": "b" })).unwrap();
        assert_eq!(found, [Record::Chat(ChatTurn::question("a", "b"))]);
        assert!(
            records(&chat, json!({ "text": "a" }))
                .unwrap_err()
                .contains("--chat")
        );
    }

    #[test]
    fn a_row_that_fits_no_form_tells_its_fields_and_the_flags() {
        for (bad, part) in [
            (
                json!({ "prompt": "a", "text": "b" }),
                "missing field `target`",
            ),
            (
                json!({ "target": "a", "text": "b" }),
                "missing field `prompt`",
            ),
            (json!({ "text": ["b"] }), "`text` is a list"),
            (
                json!({ "prompt": 1.5, "target": "b" }),
                "invalid type: `prompt`",
            ),
            (
                json!({ "q": "a", "a": "b" }),
                "the fields are `q`, `a`; name them with --prompt-field",
            ),
            (json!({}), "the fields are none"),
        ] {
            let error = records(&ExampleForm::default(), bad).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
