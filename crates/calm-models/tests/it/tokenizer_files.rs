//! Tokenizers of several files, and of SentencePiece, held against transformers.

use std::fs;
use std::path::Path;

use crate::common::fixture;
use calm_models::{Chat, ChatTemplate, Tokenizer};
use serde_json::{Map, Value};

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A directory with the files of a case.
fn written(usual: &Value, case: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut tokenizer = usual.clone();
    for (part, value) in case["parts"].as_object().unwrap() {
        tokenizer[part] = value.clone();
    }
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(dir.path().join("config.json"), r#"{"model_type":"llama"}"#).unwrap();
    for (name, content) in case["files"].as_object().unwrap() {
        fs::write(dir.path().join(name), content.to_string()).unwrap();
    }
    dir
}

/// The special tokens that a chat template sees, by their names.
fn named(dir: &Path, names: &[&str]) -> Map<String, Value> {
    let shown = names
        .iter()
        .map(|name| format!("{{% if {name} is defined %}}{name} {{{{ {name} }}}},{{% endif %}}"));
    fs::write(dir.join("chat_template.jinja"), shown.collect::<String>()).unwrap();
    let shown = ChatTemplate::read(dir)
        .unwrap()
        .render(&Chat::default())
        .unwrap();
    let pairs = shown
        .split_terminator(',')
        .map(|pair| pair.split_once(' ').unwrap());
    pairs
        .map(|(name, text)| (name.to_owned(), text.into()))
        .collect()
}

/// Written by versions 4 in this way, and refused by version 5 only because it forgets to read it.
const READ_ALL_THE_SAME: [&str; 2] = ["names as tokens", "additional in map of tokens"];

#[test]
fn files_beside_a_tokenizer_mean_what_they_mean_to_transformers() {
    let file = json(&fixture("text/side-files.json"));
    let cases = file["cases"].as_array().unwrap();
    let names = cases.iter().filter_map(|case| case["named"].as_object());
    let mut names: Vec<&str> = names
        .flat_map(|named| named.keys().map(String::as_str))
        .collect();
    names.sort_unstable();
    names.dedup();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let dir = written(&file["tokenizer"], case);
        let tokenizer = Tokenizer::of_checkpoint(dir.path());
        if case["error"].is_string() {
            let is_read = READ_ALL_THE_SAME.contains(&name);
            assert_eq!(tokenizer.is_ok(), is_read, "{name}: {tokenizer:?}");
            if let Err(error) = tokenizer {
                let (error, path) = (error.to_string(), dir.path().to_string_lossy());
                assert!(
                    error.starts_with(&*path) && !error.contains('\n'),
                    "{error}"
                );
            }
            continue;
        }
        let tokenizer = tokenizer.unwrap();
        for row in case["texts"].as_array().unwrap() {
            let text = row[0].as_str().unwrap();
            let ids = tokenizer.encode(text, true).unwrap().ids;
            assert_eq!(serde_json::json!(ids), row[1], "{name}: {text:?}");
            assert_eq!(
                tokenizer.decode(&ids, true).unwrap(),
                row[2],
                "{name}: {text:?}"
            );
        }
        assert_eq!(
            Value::Object(named(dir.path(), &names)),
            case["named"],
            "{name}"
        );
        // What is saved is read as the same.
        let again = Tokenizer::from_json(tokenizer.json(), Path::new("tokenizer.json")).unwrap();
        assert!(again.has_same_ids(&tokenizer), "{name}");
    }
    assert!(cases.len() >= 87);
}

fn hash(bytes: impl IntoIterator<Item = u8>) -> String {
    let step = |value: u64, byte| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let value = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{value:016x}")
}

/// `CALM_SENTENCE_PIECE` names a directory that `sentence_piece.py` has made with more texts.
#[test]
fn models_of_sentencepiece_encode_as_transformers_does() {
    let dir = std::env::var_os("CALM_SENTENCE_PIECE");
    let dir = dir.map_or_else(|| fixture("text/sentence-piece"), Into::into);
    let expected = json(&dir.join("expected.json"));
    let texts = expected["texts"].as_array().unwrap();
    for (name, expected) in expected["models"].as_object().unwrap() {
        let tokenizer = Tokenizer::of_checkpoint(&dir.join(name)).unwrap();
        let first = tokenizer
            .encode(texts[20].as_str().unwrap(), true)
            .unwrap()
            .ids;
        assert_eq!(serde_json::json!(first), expected["first"], "{name}");
        for (row, text) in texts.iter().enumerate() {
            let text = text.as_str().unwrap();
            let ids = tokenizer.encode(text, true).unwrap().ids;
            let decoded = tokenizer.decode(&ids, true).unwrap();
            let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
            assert_eq!(
                hash(bytes),
                expected["ids"][row],
                "{name}: {text:?} is {ids:?}"
            );
            assert_eq!(
                hash(decoded.bytes()),
                expected["decoded"][row],
                "{name}: {decoded:?}"
            );
        }
    }
}

#[test]
fn other_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(dir.path().join("tokenizer.model"), bytes).unwrap();
        Tokenizer::of_checkpoint(dir.path())
            .unwrap_err()
            .to_string()
    };
    // A vocabulary of tiktoken is lines of base64.
    assert!(refused(b"IQ== 0\nIg== 1\n").contains("transformers converts it"));
    assert!(refused(b"").contains("it has no pieces"));
    // Words: the third field of the second part is 3.
    assert!(refused(&[10, 3, 10, 1, b'a', 18, 2, 24, 3]).contains("words or characters"));
    assert!(refused(&[10, 5, 10, 1, b'a', 24, 9]).contains("unknown kind"));
    // A length that lies.
    assert!(refused(&[10, 0xff, 0xff, 0xff, 0xff, 15, 10]).contains("it is no model"));
}

#[test]
fn what_is_no_tokenizer_is_an_error_with_any_files_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"{"tokenizer_class":"LlamaTokenizer","bos_token":"<s>","add_bos_token":true}"#;
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let file = json(&fixture("text/side-files.json"));
    let mut beyond = file["tokenizer"].clone();
    beyond["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing", "single": [{ "Sequence": { "id": "B", "type_id": 0 } }],
        "pair": [], "special_tokens": {},
    });
    for text in [
        "[]",
        "5",
        "null",
        "{}",
        "\"ByteLevel\"",
        &beyond.to_string(),
    ] {
        fs::write(dir.path().join("tokenizer.json"), text).unwrap();
        let error = Tokenizer::of_checkpoint(dir.path())
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(&*dir.path().to_string_lossy()), "{error}");
    }
}

#[test]
fn a_token_as_long_as_a_book_is_refused_at_once() {
    let file = json(&fixture("text/side-files.json"));
    let mut tokenizer = file["tokenizer"].clone();
    let content = "x".repeat(70_000);
    tokenizer["added_tokens"][0]["content"] = content.clone().into();
    let error = Tokenizer::from_json(tokenizer.to_string(), Path::new("t.json")).unwrap_err();
    assert!(
        error.to_string().contains("the longest has 70000 bytes"),
        "{error}"
    );
    let case =
        serde_json::json!({ "parts": {}, "files": { "added_tokens.json": { content: 40 } } });
    let dir = written(&file["tokenizer"], &case);
    let error = Tokenizer::of_checkpoint(dir.path()).unwrap_err();
    assert!(
        error.to_string().contains("the longest has 70000 bytes"),
        "{error}"
    );
}
