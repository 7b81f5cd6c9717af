//! Chat templates write what transformers writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::common::fixture;
use calm_models::{Chat, ChatTemplate, ModelError};
use serde_json::{Map, Value, json};

fn special_tokens() -> Map<String, Value> {
    let tokens = json!({ "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>" });
    tokens.as_object().unwrap().clone()
}

fn template(source: &str) -> Result<ChatTemplate, ModelError> {
    ChatTemplate::new(source, &special_tokens(), Path::new("t.jinja"))
}

/// A short conversation, written by a template.
fn render(source: &str) -> Result<String, ModelError> {
    template(source)?.render(&Chat::question(Some("sys"), "user's"))
}

fn chat(case: &Value) -> Chat {
    let mut variables = case.as_object().unwrap().clone();
    let list = |value: Option<Value>| value.map(|value| value.as_array().unwrap().clone());
    let messages = list(variables.remove("messages")).unwrap();
    let tools = list(variables.remove("tools"));
    let documents = list(variables.remove("documents"));
    let mut is_set = |name: &str| variables.remove(name) == Some(json!(true));
    let add_generation_prompt = is_set("add_generation_prompt");
    let continue_final_message = is_set("continue_final_message");
    Chat {
        messages,
        tools,
        documents,
        add_generation_prompt,
        continue_final_message,
        variables,
    }
}

#[test]
fn templates_write_what_transformers_writes() {
    let folder = fixture("text");
    let cases = fs::read_to_string(folder.join("chats.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let mut refused = 0;
    for (number, case) in cases.iter().enumerate() {
        let name = case["template"].as_str().unwrap();
        let source = fs::read_to_string(folder.join(format!("chat/{name}.jinja"))).unwrap();
        let found = template(&source).unwrap().render(&chat(&case["chat"]));
        match case["error"].as_str() {
            None => assert_eq!(found.unwrap(), case["text"], "case {number}, {name}"),
            Some(expected) => {
                let found = found.unwrap_err().to_string();
                assert!(found.contains(expected), "{found}; {expected}");
                refused += 1;
            }
        }
    }
    assert!(
        cases.len() > 20 && refused == 4,
        "{refused} of {}",
        cases.len()
    );
}

#[test]
fn templates_are_found_where_transformers_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let read = || ChatTemplate::read(dir.path());
    let render = || read()?.render(&Chat::question(None, "Hm?"));
    let message = render().unwrap_err().to_string();
    assert!(message.contains("has no chat template"), "{message}");

    let tokens = r#""bos_token": "<s>", "eos_token": {"content": "</s>"}, "cls_token": null"#;
    let config = |template: &str| format!(r#"{{{tokens}, "chat_template": {template}}}"#);
    write(
        "tokenizer_config.json",
        &config(r#""{{ bos_token }}1{{ eos_token }}{{ cls_token }}""#),
    );
    assert_eq!(render().unwrap(), "<s>1</s>");
    let named = r#"[{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]"#;
    write("tokenizer_config.json", &config(named));
    assert_eq!(render().unwrap(), "d");
    let with_tools = || {
        let chat = Chat {
            tools: Some(vec![]),
            ..Chat::question(None, "Hm?")
        };
        read()?.render(&chat)
    };
    assert_eq!(with_tools().unwrap(), "t");
    write(
        "tokenizer_config.json",
        &config(r#"[{"name": "rag", "template": "r"}]"#),
    );
    let message = render().unwrap_err().to_string();
    assert!(message.contains("none is named default: rag"), "{message}");
    write("tokenizer_config.json", &format!("{{{tokens}}}"));
    write(
        "chat_template.json",
        r#"{"chat_template": "{{ bos_token }}p"}"#,
    );
    assert_eq!(render().unwrap(), "<s>p");
    let marked = format!("\u{feff}{}", config(r#""{{ eos_token }}""#));
    write("tokenizer_config.json", &marked);
    assert_eq!(render().unwrap(), "</s>");
    fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
    write("additional_chat_templates/tool_use.jinja", "more");
    write("chat_template.jinja", "{{ bos_token }}2\n");
    assert_eq!(render().unwrap(), "<s>2");
    assert_eq!(with_tools().unwrap(), "more");
    write("chat_template.jinja", "\u{feff}{{ bos_token }}3\n");
    assert_eq!(render().unwrap(), "<s>3");

    write("tokenizer_config.json", "{\"a\": ");
    assert!(matches!(read(), Err(ModelError::Json { .. })));
}

#[test]
fn templates_of_many_models_write_what_transformers_writes() {
    let folder = fixture("text");
    let cases = fs::read_to_string(folder.join("models.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&cases).unwrap();
    let chats = &cases[0]["chats"];
    let (mut models, mut refused) = (BTreeSet::new(), 0);
    for case in &cases[1..] {
        let model = case["model"].as_str().unwrap();
        let source = fs::read_to_string(folder.join(format!("models/{model}.jinja"))).unwrap();
        let number = case["chat"].as_u64().unwrap() as usize;
        let found = template(&source).unwrap().render(&chat(&chats[number]));
        match case["text"].as_str() {
            Some(expected) => assert_eq!(found.unwrap(), expected, "{model}, chat {number}"),
            None => {
                let found = found.unwrap_err().to_string();
                let message = case["message"].as_str().unwrap();
                let is_same = case["error"] != "TemplateError" || found.contains(message);
                assert!(is_same, "{model}, chat {number}: {found}; {message}");
                refused += 1;
            }
        }
        models.insert(model);
    }
    assert!(
        models.len() >= 30 && refused > 20,
        "{} {refused}",
        models.len()
    );
}

#[test]
fn a_prompt_goes_on_with_the_last_message_if_it_can() {
    let chat = Chat {
        add_generation_prompt: false,
        continue_final_message: true,
        ..Chat::question(None, "It is ")
    };
    let render = |source: &str| template(source)?.render(&chat);
    let plain = "{% for m in messages %}<{{ m.content }}>{% endfor %}";
    assert_eq!(render(plain).unwrap(), "<It is ");
    assert_eq!(
        render(&plain.replace(" }}", " | trim }}")).unwrap(),
        "<It is"
    );
    for (source, words) in [
        ("{{ messages[0].role }}", "reads no content"),
        ("{{ messages[0].content[:2] }}", "leaves out a part"),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let both = Chat {
        add_generation_prompt: true,
        ..chat.clone()
    };
    assert!(template(plain).unwrap().render(&both).is_err());
}

#[test]
fn templates_that_fail_are_told_with_their_file_and_line() {
    for (source, words) in [
        ("one\n{% for x in %}", "chat_template:2"),
        ("\n\n{{ messages.one.two }}", "(in chat_template:3)"),
        ("{{ raise_exception('no\nnever') }}", "never"),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.starts_with("t.jinja: "), "{message}");
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
}
