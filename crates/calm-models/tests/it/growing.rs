//! Texts that grow have the tokens of texts that are whole.

use std::path::Path;

use crate::common::fixture;
use calm_models::{GrowingText, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(name: &str) -> Value {
    let path = fixture("text").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A tokenizer of the fixtures with some parts changed.
fn tokenizer(name: &str, changes: &[(&str, Value)]) -> Tokenizer {
    let mut json = read(name);
    for (pointer, value) in changes {
        *json.pointer_mut(pointer).unwrap() = value.clone();
    }
    Tokenizer::from_json(json.to_string(), Path::new(name)).unwrap()
}

/// Tokenizers of all kinds that are known to be cut, and of kinds that are not.
fn tokenizers() -> Vec<Tokenizer> {
    let llama3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let split = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": llama3 }, "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false },
    ]});
    let metaspace = |scheme: &str| json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true });
    let mut merges = read("byte-fallback")["model"]["merges"].clone();
    merges.as_array_mut().unwrap().push(json!(["e", "▁"]));
    let mut vocab = read("byte-fallback")["model"]["vocab"].clone();
    vocab["e▁"] = json!(vocab.as_object().unwrap().len());
    let mut added = read("byte-fallback")["added_tokens"].clone();
    added[2]["lstrip"] = json!(true);
    let prefixed = json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
        "use_regex": true });
    vec![
        tokenizer("byte-level", &[]),
        tokenizer("byte-level", &[("/normalizer", json!({ "type": "NFC" }))]),
        tokenizer("byte-level", &[("/normalizer", json!({ "type": "NFKD" }))]),
        tokenizer("byte-level", &[("/pre_tokenizer", split)]),
        tokenizer("byte-level", &[("/pre_tokenizer", prefixed)]),
        tokenizer("byte-fallback", &[]),
        tokenizer(
            "byte-fallback",
            &[
                ("/normalizer", json!(null)),
                ("/pre_tokenizer", metaspace("always")),
            ],
        ),
        tokenizer(
            "byte-fallback",
            &[
                ("/normalizer", json!(null)),
                ("/pre_tokenizer", metaspace("first")),
            ],
        ),
        tokenizer(
            "byte-fallback",
            &[
                ("/normalizer", json!(null)),
                ("/pre_tokenizer", json!({ "type": "Whitespace" })),
            ],
        ),
        // These cannot be cut: a merge, or an added token, reaches across.
        tokenizer(
            "byte-fallback",
            &[("/model/merges", merges), ("/model/vocab", vocab)],
        ),
        tokenizer("byte-fallback", &[("/added_tokens", added)]),
    ]
}

fn text() -> impl Strategy<Value = Vec<String>> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "the", " the", "the ", " anchor", " ", "  ", "\n", " \n", "\t", "<s>", " </s>", "<s> ",
            "'s", "don't", "17", " 1", "▁", " ▁", "e\u{301}", " \u{301}", "日本語", "🙂", "\u{a0}",
            "\u{3000}", ".", " .", "!\n", "\r\n", "and", " and", "é",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_settled_stays(pieces in text()) {
        for (kind, tokenizer) in tokenizers().iter().enumerate() {
            for with_start in [true, false] {
                let mut growing = GrowingText::new(tokenizer, with_start);
                let mut text = String::new();
                for piece in &pieces {
                    text += piece;
                    let expected = if with_start {
                        tokenizer.encode_unfinished(&text).unwrap()
                    } else {
                        tokenizer.encode(&text, false).unwrap().ids
                    };
                    let found = growing.encode(&text).unwrap();
                    prop_assert_eq!(found, expected, "{} {:?}", kind, text);
                }
            }
        }
    }
}
