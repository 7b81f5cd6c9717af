//! Small tokenizers.

use std::path::Path;

use calm_models::Tokenizer;
use serde_json::{Map, Value, json};

use crate::fixtures;

/// A tokenizer of the fixtures, such as `byte-level` and `byte-fallback`.
pub fn tokenizer(name: &str) -> Tokenizer {
    let path = fixtures("calm-models").join(format!("text/{name}.json"));
    Tokenizer::load(&path).expect("a fixture")
}

/// A tokenizer of [`words_json`].
pub fn words(words: &[&str], unknown: &str) -> Tokenizer {
    let path = Path::new("tokenizer.json");
    Tokenizer::from_json(words_json(words, unknown), path).expect("a sound tokenizer")
}

/// A tokenizer.json with a token for each of a few words and signs, and none around a text. All
/// others are the token `unknown`; if that is none of the words, they cannot be read.
pub fn words_json(words: &[&str], unknown: &str) -> String {
    let numbered = words.iter().zip(0..);
    let vocabulary: Map<String, Value> = numbered
        .map(|(word, id)| ((*word).to_owned(), Value::from(id)))
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": { "type": "NFC" }, "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": unknown },
    });
    file.to_string()
}
