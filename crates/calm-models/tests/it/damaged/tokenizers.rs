//! `tokenizer.json`.

use calm_models::{ModelError, SequenceOptions, Session};
use calm_testing::Checkpoint;
use serde_json::json;

use super::{assert_all_refused, error};

#[test]
fn tokenizers() {
    assert_all_refused(&[
        (
            "cut off",
            |c| c.bytes("tokenizer.json", |text| text.truncate(1000)),
            &["tokenizer.json: EOF"],
        ),
        (
            "no model",
            |c| c.write("tokenizer.json", "{}"),
            &["tokenizer.json: "],
        ),
        (
            "a table that leads nowhere",
            |c| {
                // Four units, the first of which has children far away.
                let table = "EAAAAAAAgAAAAAAAAAAAAAAAAAA=";
                let part = json!({ "type": "Precompiled", "precompiled_charsmap": table });
                c.tokenizer("normalizer", part);
            },
            &["tokenizer.json: its normalizer: its table of replacements leads to place"],
        ),
        (
            "a table that claims gigabytes",
            |c| {
                let part = json!({ "type": "Precompiled", "precompiled_charsmap": "/////wAAAAA=" });
                let sequence = json!({ "type": "Sequence", "normalizers": [part] });
                c.tokenizer("normalizer", sequence);
            },
            &["tokenizer.json: its normalizer: its table of replacements is cut off"],
        ),
        (
            "a text that doubles again and again",
            |c| {
                let pattern = json!({ "String": "A" });
                let twice = json!({ "type": "Replace", "pattern": pattern, "content": "AA" });
                let sequence = json!({ "type": "Sequence", "normalizers": vec![twice; 60] });
                c.tokenizer("normalizer", sequence);
            },
            &["tokenizer.json: its normalizer may make a text more than"],
        ),
        (
            "pieces of no length",
            |c| {
                c.tokenizer(
                    "pre_tokenizer",
                    json!({ "type": "FixedLength", "length": 0 }),
                )
            },
            &["tokenizer.json: ", "chunk size must be non-zero"],
        ),
        (
            "a second text where there is one",
            |c| {
                let second = json!([{ "Sequence": { "id": "B", "type_id": 0 } }]);
                c.tokenizer(
                    "post_processor",
                    json!({
                        "type": "TemplateProcessing", "single": second, "pair": [],
                        "special_tokens": {},
                    }),
                );
            },
            &["tokenizer.json: ", "index out of bounds"],
        ),
        (
            "a pattern that is deep",
            |c| {
                let pattern = json!({ "Regex": "(".repeat(1 << 20) });
                let split = json!({
                    "type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false,
                });
                c.tokenizer("pre_tokenizer", split);
            },
            &["tokenizer.json: ", "too deeply nested"],
        ),
        (
            "a decoder that is deep",
            |c| {
                let deep = r#"{"type":"Sequence","decoders":["#.repeat(1 << 16);
                c.text(
                    "tokenizer.json",
                    "\"decoder\": ",
                    &format!("\"decoder\": {deep}"),
                );
            },
            &["tokenizer.json: recursion limit exceeded"],
        ),
    ]);
}

#[test]
fn tokenizers_that_do_not_fit() {
    let checkpoint = Checkpoint::new();
    checkpoint.write("tokenizer.json", "{}");
    assert!(matches!(error(&checkpoint), ModelError::Tokenizer { .. }));
    let checkpoint = Checkpoint::new();
    checkpoint.text("tokenizer.json", "\"~\": 71", "\"~\": 80");
    // A token without embedding is in the way of the texts that hold it alone.
    let model = checkpoint.load().unwrap();
    assert!(model.tokenizer.encode("four words", true).is_ok());
    let error = model.tokenizer.encode("a~", true).unwrap_err().to_string();
    assert!(
        error
            .contains("the token \"~\" with the id 80, but the model has embeddings for 80 tokens"),
        "{error}"
    );
    let mut session = Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
    let options = SequenceOptions::greedy(1, Vec::new());
    assert!(session.add_text("~", &options).is_err());
}
