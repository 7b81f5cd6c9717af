//! Chat templates write what transformers writes, and can do no harm.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::fixture;
use calm_models::{Chat, ChatTemplate, ModelError};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn special_tokens() -> Map<String, Value> {
    let tokens = json!({ "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>" });
    tokens.as_object().unwrap().clone()
}

fn template(source: &str) -> Result<ChatTemplate, ModelError> {
    ChatTemplate::new(source, &special_tokens(), Path::new("t.jinja"))
}

/// What a template makes of a short conversation.
fn render(source: &str) -> Result<String, ModelError> {
    template(source)?.render(&Chat::question(Some("sys"), "user's"))
}

fn chat(case: &Value) -> Chat {
    let mut variables = case.as_object().unwrap().clone();
    let list = |value: Option<Value>| value.map(|value| value.as_array().unwrap().clone());
    let messages = list(variables.remove("messages")).unwrap();
    let tools = list(variables.remove("tools"));
    let add_generation_prompt = variables.remove("add_generation_prompt") == Some(json!(true));
    Chat {
        messages,
        tools,
        add_generation_prompt,
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
    write("chat_template.jinja", "{{ bos_token }}2\n");
    assert_eq!(render().unwrap(), "<s>2");

    write("tokenizer_config.json", "{\"a\": ");
    assert!(matches!(read(), Err(ModelError::Json { .. })));
}

#[test]
fn templates_that_are_wrong_are_told_with_their_line() {
    for (source, words) in [
        ("one\n{% for x in %}", "chat_template:2"),
        ("{% if %}", "syntax error"),
        (
            "\n\n{{ messages.one.two }}",
            "undefined value (in chat_template:3)",
        ),
        ("{{ raise_exception('no\nnever') }}", "never"),
        (
            "{{ strftime_now('%Q') }}",
            "strftime_now: \"%Q\" is no format",
        ),
        ("{{ namespace | tojson }}", "tojson: a value of type"),
        ("{{ [1] | tojson(indents=3) }}", "indents"),
    ] {
        let message = render(source).unwrap_err().to_string();
        assert!(message.starts_with("t.jinja: "), "{message}");
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
}

#[test]
fn templates_cannot_read_files() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% import 'chat_template' as x %}",
        "{% from '/etc/passwd' import x %}",
        "{% extends '/etc/passwd' %}",
        "{{ open('/etc/passwd') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ] {
        let error = render(source).unwrap_err();
        assert!(matches!(error, ModelError::ChatTemplate { .. }), "{error}");
    }
}

#[test]
fn templates_that_never_end_or_grow_are_stopped() {
    let start = Instant::now();
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x='ab') %}{% for i in range(99) %}{% set n.x = n.x.replace('a', 'aaaa') %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | tojson }}",
        "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x }}",
        "{{ 'a' * 999999999999 }}",
        "{{ ('a' * 99999999) | upper }}",
        "{{ [0] * 999999999 }}",
        "{{ 'x'.join(range(99999)) * 9999 }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ '{:>9999999999}'.format(1) }}",
        "{{ ('{0}' * 99999).format('a' * 99999) }}",
        "{{ [[[1]]] | tojson(indent='xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' * 99999999) }}",
        "{{ 10 ** 99999999999 }}",
        "{{ ('a' * 99999) | center(9999999999) }}",
        "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}",
    ] {
        let rendered = render(source);
        let short = rendered.as_ref().map_or(0, String::len);
        assert!(rendered.is_err(), "{source} gives {short} bytes");
    }
    // Generous: the test machine may be busy.
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// Values nested as deep as fuel allows must not overflow the stack when they are shown or dropped.
#[test]
fn deep_values_are_no_danger() {
    let deep = "{% set n = namespace(x=[1]) %}{% for j in range(9) %}{% for i in range(99999) %}\
                {% set n.x = [n.x] %}{% endfor %}{% endfor %}";
    let less_deep = deep
        .replace("range(9)", "range(1)")
        .replace("99999", "60000");
    assert!(render(deep).is_err());
    assert_eq!(render(&less_deep).unwrap(), "");
    for use_of_it in [
        "{{ n.x }}",
        "{{ n.x | tojson }}",
        "{{ n.x == [n.x] }}",
        "{{ n.x | string }}",
    ] {
        let _ = render(&format!("{less_deep}{use_of_it}"));
    }
    let nested = format!("{{{{ {}1{} }}}}", "[".repeat(9999), "]".repeat(9999));
    assert!(render(&nested).is_err());
    let nested = "{% if 1 %}".repeat(9999);
    assert!(render(&nested).is_err());
}

#[test]
fn the_time_is_the_present() {
    let year: u32 = render("{{ strftime_now('%Y') }}").unwrap().parse().unwrap();
    assert!(year >= 2024);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a template is, it is rendered or refused.
    #[test]
    fn no_template_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "{%", "%}", "{{", "}}", "{#", "#}", "-", "+", " ", "\n", "for x in messages", "endfor", "if", "else",
        "endif", "set x =", "x", "messages", "[0]", "[::-1]", "'a'", "1", "|", "tojson", "trim", "(", ")",
        "generation", "endgeneration", "raise_exception", "namespace", ".content", "is", "defined", "é", "🙂",
        "macro f(x)", "endmacro", "f", "not", "==", "~", ",", "{", "}", "range", "loop.index", "break",
    ]), 0..24)) {
        let _ = render(&pieces.concat());
        let _ = render(&format!("{{% for x in messages %}}{{{{ {} }}}}{{% endfor %}}", pieces.concat()));
    }
}
