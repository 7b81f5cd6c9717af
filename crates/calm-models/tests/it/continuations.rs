//! Continuations in their place: decoded behind their prompt, whatever the tokenizer does with the
//! beginning of a text.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use calm_models::{TextStream, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

const LLAMA: &str = r#"{"type":"Sequence","decoders":[
    {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
    {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"#;

/// Decoders of tokenizers in use, and some that change more of a text's beginning and end than any
/// of those.
const DECODERS: [(&str, &str); 14] = [
    ("llama", LLAMA),
    (
        "gemma",
        r#"{"type":"Sequence","decoders":[
            {"type":"Replace","pattern":{"String":"▁"},"content":" "},
            {"type":"ByteFallback"},{"type":"Fuse"}]}"#,
    ),
    (
        "metaspace, always",
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#,
    ),
    (
        "metaspace, first",
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false}"#,
    ),
    (
        "metaspace, never",
        r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"never","split":true}"#,
    ),
    (
        "bytes, metaspace",
        r#"{"type":"Sequence","decoders":[{"type":"ByteFallback"},
            {"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}]}"#,
    ),
    (
        "byte level",
        r#"{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"#,
    ),
    (
        "word piece",
        r###"{"type":"WordPiece","prefix":"##","cleanup":true}"###,
    ),
    ("bpe", r###"{"type":"BPEDecoder","suffix":"##b"}"###),
    (
        "ctc",
        r#"{"type":"CTC","pad_token":"a","word_delimiter_token":"▁","cleanup":true}"#,
    ),
    ("fuse", r#"{"type":"Fuse"}"#),
    ("none", "null"),
    (
        "stripped by three",
        r#"{"type":"Sequence","decoders":[
            {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
            {"type":"Fuse"},{"type":"Strip","content":" ","start":3,"stop":0}]}"#,
    ),
    (
        "stripped at the end",
        r#"{"type":"Sequence","decoders":[
            {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
            {"type":"Fuse"},{"type":"Strip","content":" ","start":0,"stop":1}]}"#,
    ),
];

/// Pieces of a text; those with bytes are characters only together.
const PIECES: [&str; 20] = [
    "▁",
    "▁▁▁▁",
    "▁return",
    "return",
    "▁7",
    "\n",
    "a",
    "##b",
    ".",
    "▁n't",
    "Ġ",
    "Ġc",
    "!▁",
    "é",
    "</s>",
    "[X]",
    "'",
    "'s",
    "n't",
    "?",
];

static TOKENIZERS: LazyLock<Vec<(&str, Tokenizer)>> = LazyLock::new(|| {
    let tokenizers = DECODERS.iter();
    let tokenizers = tokenizers.map(|(name, decoder)| (*name, tokenizer(decoder)));
    tokenizers.chain([("cleaned up", cleaned_up())]).collect()
});

/// Words with spaces between them, of which those before marks are taken away.
fn cleaned_up() -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({
        "clean_up_tokenization_spaces": true,
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": true,
    });
    fs::write(dir.path().join("tokenizer.json"), tokenizer("null").json()).unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    Tokenizer::of_checkpoint(dir.path()).unwrap()
}

fn tokenizer(decoder: &str) -> Tokenizer {
    let mut vocab: serde_json::Map<String, Value> = serde_json::Map::new();
    let bytes = (0..=255_u8).map(|byte| format!("<0x{byte:02X}>"));
    let levels = ["Ã", "©", "ð", "Ł", "ĺ", "Ģ"].map(str::to_owned);
    let pieces = PIECES
        .map(str::to_owned)
        .into_iter()
        .chain(bytes)
        .chain(levels);
    for (id, piece) in pieces.enumerate() {
        vocab.insert(piece, json!(id));
    }
    let added = |content: &str, special: bool| {
        json!({ "id": vocab[content], "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": special })
    };
    let decoder: Value = serde_json::from_str(decoder).unwrap();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
        "added_tokens": [added("</s>", true), added("[X]", false)],
        "pre_tokenizer": null, "post_processor": null, "decoder": decoder,
        "model": { "type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": [] },
    });
    Tokenizer::from_json(file.to_string(), Path::new("tokenizer.json")).unwrap()
}

/// The definition: the text of all, less that of the prompt. A character that the prompt breaks off,
/// and what the continuation changes of its end, belong to the continuation.
fn continuation(tokenizer: &Tokenizer, prompt: &[u32], new: &[u32]) -> String {
    let before = tokenizer.decode(prompt, true).unwrap();
    let all = tokenizer.decode(&[prompt, new].concat(), true).unwrap();
    let same = before.chars().zip(all.chars()).take_while(|(a, b)| a == b);
    let same: usize = same.map(|(c, _)| c.len_utf8()).sum();
    all[same..].to_owned()
}

fn streamed(tokenizer: &Tokenizer, prompt: &[u32], new: &[u32]) -> String {
    let mut stream = TextStream::after(tokenizer, prompt).unwrap();
    let mut pieces: Vec<String> = new.iter().map(|id| stream.push(*id).unwrap()).collect();
    pieces.push(stream.finish().unwrap());
    pieces.concat()
}

#[test]
fn indentation_stays() {
    let id = |tokenizer: &Tokenizer, piece: &str| tokenizer.token_id(piece).unwrap();
    for (name, decoder) in DECODERS.iter().take(6) {
        let tokenizer = tokenizer(decoder);
        let ids = |pieces: &[&str]| -> Vec<u32> {
            pieces.iter().map(|piece| id(&tokenizer, piece)).collect()
        };
        for (prompt, new, expected) in [
            (
                &["a", "\n"][..],
                &["▁▁▁▁", "return", "▁7"][..],
                "    return 7",
            ),
            (&["a", "\n", "</s>"], &["▁▁▁▁", "return"], "    return"),
            (&["▁return"], &["▁return"], " return"),
            (&["▁7", "▁▁▁▁"], &["▁▁▁▁", "▁return"], "     return"),
            (&["a"], &["▁", "</s>", "▁", "a"], "  a"),
            (&["a", "<0xC3>"], &["<0xA9>", "▁7"], "é 7"),
            (&["a", "<0xC3>", "<0xA9>"], &["<0xC3>", "<0xA9>"], "é"),
        ] {
            let found = streamed(&tokenizer, &ids(prompt), &ids(new));
            if !new.contains(&"<0xA9>") || decoder.contains("ByteFallback") {
                assert_eq!(found, expected, "{name}: {prompt:?}");
            }
        }
    }
}

/// Tokens that make characters: bytes come with the others of their character.
fn tokens() -> impl Strategy<Value = Vec<&'static str>> {
    let bytes = prop_oneof![
        Just(vec!["<0xC3>", "<0xA9>"]),
        Just(vec!["<0xF0>", "<0x9F>", "<0x9A>", "<0x80>"]),
        Just(vec!["Ã", "©"]),
        Just(vec!["ð", "Ł", "ĺ", "Ģ"]),
    ];
    let piece = (0..PIECES.len()).prop_map(|piece| vec![PIECES[piece]]);
    let spaces = (1..12_usize).prop_map(|count| vec!["▁▁▁▁"; count]);
    let group = prop_oneof![8 => piece, 2 => bytes, 1 => spaces];
    prop::collection::vec(group, 0..40).prop_map(|groups| groups.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_stream_gives_what_the_prompt_and_it_say_together(pieces in tokens(), cut in 0.0..1.0) {
        let cut = (pieces.len() as f64 * cut) as usize;
        for (name, tokenizer) in TOKENIZERS.iter() {
            let ids = pieces.iter().map(|piece| tokenizer.token_id(piece).unwrap());
            let ids: Vec<u32> = ids.collect();
            let (prompt, new) = ids.split_at(cut);
            let expected = continuation(tokenizer, prompt, new);
            prop_assert_eq!(streamed(tokenizer, prompt, new), expected, "{}: {:?}", name, &pieces[..cut]);
        }
    }
}
