//! GGUF files that lie: an error in one line, at once, and never a panic.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use calm_models::{ChatTemplate, CheckpointInfo, FrozenModel, LoadOptions, Strictness, Tokenizer};
use proptest::prelude::*;

use crate::common::fixture;
use crate::common::gguf::{ARRAY, BOOL, GgufFile, GgufTensor, TEXT, U32, text, texts};

/// Opens a file in every way that there is.
fn open(path: &Path) -> Result<(), String> {
    let info = CheckpointInfo::read(path, Strictness::default()).map(drop);
    let loaded = FrozenModel::load(path, &LoadOptions::default()).map(drop);
    let template = ChatTemplate::find(path).map(drop);
    if let Ok(Some(tokenizer)) = Tokenizer::find(path) {
        let _ = tokenizer.encode("<s> naïve 🙂  1</s>", true);
        let _ = tokenizer.decode(&(0..300).collect::<Vec<u32>>(), true);
    }
    let outcomes = [info, loaded, template];
    let errors = outcomes.into_iter().filter_map(Result::err);
    let mut messages = errors.map(|error| {
        let message = error.to_string();
        assert!(
            !message.contains('\n') && message.len() < 20_000,
            "{message}"
        );
        assert!(message.contains("model.gguf"), "{message}");
        message
    });
    messages.next().map_or(Ok(()), Err)
}

fn refused(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    let begin = Instant::now();
    let message = open(&path).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(5), "{message}");
    message
}

/// A file of a few values and one tensor.
fn small() -> GgufFile {
    let mut file = GgufFile::empty();
    file.set("general.architecture", TEXT, text("llama"));
    file.set("general.tags", ARRAY, texts(&["a", "b"]));
    file.set("llama.block_count", U32, 1_u32.to_le_bytes());
    file.tensors.push(GgufTensor {
        name: "token_embd.weight".to_owned(),
        sizes: vec![32, 2],
        kind: 8,
        data: vec![0; 68],
        offset: None,
    });
    file
}

fn lie(change: impl FnOnce(&mut GgufFile)) -> String {
    let mut file = small();
    change(&mut file);
    refused(&file.bytes())
}

#[test]
fn files_that_end_early() {
    let bytes = small().bytes();
    for length in 0..bytes.len() - 28 {
        let message = refused(&bytes[..length]);
        let words = ["GGUF", "cut off", "no room"];
        assert!(
            words.iter().any(|word| message.contains(word)),
            "{length}: {message}"
        );
    }
}

#[test]
fn counts_without_room() {
    for count in [4, 1 << 40, 1 << 60, u64::MAX] {
        for which in 0..2 {
            let message = lie(|file| file.claimed[which] = Some(count));
            let words = ["no room", "cut off", "is empty or longer"];
            assert!(words.iter().any(|word| message.contains(word)), "{message}");
        }
        let array = [&U32.to_le_bytes()[..], &count.to_le_bytes()].concat();
        let message = lie(|file| file.set("general.tags", ARRAY, array));
        assert!(message.contains("no room") || count == 4, "{message}");
        let long = [&count.to_le_bytes()[..], b"abc"].concat();
        let message = lie(|file| file.set("general.tags", TEXT, long));
        assert!(message.contains("no room") || count == 4, "{message}");
    }
}

#[test]
fn tensors_beyond_measure() {
    let tensor = |change: fn(&mut GgufTensor)| lie(|file| change(&mut file.tensors[0]));
    let cases = [
        (
            tensor(|t| t.sizes = vec![32, 1 << 60]),
            "too large to exist",
        ),
        (
            tensor(|t| t.sizes = vec![1 << 40, 1 << 40]),
            "too large to exist",
        ),
        // Ten gigabytes in a file of a few hundred bytes.
        (
            tensor(|t| t.sizes = vec![1 << 20, 10 << 10]),
            "the file is cut off",
        ),
        (tensor(|t| t.sizes = vec![0, 2]), "is empty"),
        (tensor(|t| t.sizes = vec![31, 2]), "rows of 31 numbers"),
        (tensor(|t| t.sizes = vec![32; 5]), "5 dimensions"),
        (tensor(|t| t.sizes = vec![32; 400]), "400 dimensions"),
        (tensor(|t| t.offset = Some(8)), "no multiple of 32"),
        (tensor(|t| t.offset = Some(32)), "the file is cut off"),
        (
            tensor(|t| t.offset = Some(u64::MAX - 31)),
            "the file is cut off",
        ),
        (tensor(|t| t.kind = 9), "stored as Q8_1"),
        (tensor(|t| t.kind = u32::MAX), "unknown type"),
    ];
    for (message, words) in cases {
        assert!(message.contains(words), "{message}\n{words}");
    }
    let message = lie(|file| {
        let mut second = file.tensors[0].clone();
        second.name = "output_norm.weight".to_owned();
        second.offset = Some(32);
        file.tensors.push(second);
    });
    assert!(
        message.contains("within tensor token_embd.weight"),
        "{message}"
    );
    let message = lie(|file| file.tensors.push(file.tensors[0].clone()));
    assert!(
        message.contains("tensor token_embd.weight occurs twice"),
        "{message}"
    );
}

#[test]
fn values_that_are_none() {
    let set = |key: &str, kind, value: Vec<u8>| lie(|file| file.set(key, kind, value));
    for alignment in [0_u32, 1 << 31 | 1, 24, u32::MAX] {
        let message = set("general.alignment", U32, alignment.to_le_bytes().to_vec());
        assert!(message.contains("not a power of two"), "{message}");
    }
    let message = set("general.alignment", TEXT, text("32"));
    assert!(
        message.contains("general.alignment is \"32\", not a whole number"),
        "{message}"
    );
    let message = set(
        "general.alignment",
        U32,
        (1_u32 << 31).to_le_bytes().to_vec(),
    );
    assert!(message.contains("the file is cut off"), "{message}");
    let message = set("general.tags", BOOL, vec![2]);
    assert!(message.contains("neither 0 nor 1"), "{message}");
    let message = set("general.tags", 13, vec![0; 8]);
    assert!(
        message.contains("general.tags has the unknown type 13"),
        "{message}"
    );
    let not_text = [&2_u64.to_le_bytes()[..], &[0xff, 0xfe]].concat();
    let message = set("general.tags", TEXT, not_text);
    assert!(message.contains("not valid UTF-8"), "{message}");
    let nested = |depth: usize| {
        let inner = [&ARRAY.to_le_bytes()[..], &1_u64.to_le_bytes()]
            .concat()
            .repeat(depth);
        [&inner[..], &U32.to_le_bytes(), &0_u64.to_le_bytes()].concat()
    };
    let message = set("general.tags", ARRAY, nested(100_000));
    assert!(message.contains("nests arrays deeper"), "{message}");
    let message = lie(|file| {
        let again = file.values[1].clone();
        file.values.push(again);
    });
    assert!(
        message.contains("metadata key general.tags occurs twice"),
        "{message}"
    );
    let message = lie(|file| file.values[1].0 = String::new());
    assert!(
        message.contains("metadata key 2 of 3 is empty"),
        "{message}"
    );
    let message = lie(|file| file.values[1].0 = "a\nb".repeat(30_000));
    assert!(message.contains("is empty or longer"), "{message}");
    let message = lie(|file| file.remove("general.architecture"));
    assert!(
        message.contains("general.architecture is missing"),
        "{message}"
    );
}

#[test]
fn vocabularies_that_do_not_fit() {
    let message = |change: fn(&mut GgufFile)| {
        let mut file = GgufFile::read(&fixture("gguf/qwen2/model.gguf"));
        change(&mut file);
        refused(&file.bytes())
    };
    let short = |file: &mut GgufFile| {
        let mut value = [&5_u32.to_le_bytes()[..], &2_u64.to_le_bytes()].concat();
        value.extend([1, 0, 0, 0, 1, 0, 0, 0]);
        file.set("tokenizer.ggml.token_type", ARRAY, value);
    };
    assert!(message(short).contains("has 2 values for 320 tokens"));
    let merges = |file: &mut GgufFile| file.set("tokenizer.ggml.merges", ARRAY, texts(&["ab"]));
    assert!(message(merges).contains("holds a merge that is no two pieces"));
    let unknown = |file: &mut GgufFile| file.set("tokenizer.ggml.merges", ARRAY, texts(&["☺ ☹"]));
    assert!(!message(unknown).is_empty());
    let tokens = |file: &mut GgufFile| file.set("tokenizer.ggml.tokens", U32, [0; 4]);
    assert!(message(tokens).contains("tokenizer.ggml.tokens is 0, not a list of texts"));
}

fn edits() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0, any::<u8>()), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Bytes changed at random, in the header more often than in the data.
    #[test]
    fn changed_bytes(edits in edits(), in_header in any::<bool>(), model in 0..5_usize) {
        let name = ["llama", "qwen2", "phi3", "gpt2", "small"][model];
        let mut bytes = match name {
            "small" => small().bytes(),
            name => fs::read(fixture("gguf").join(name).join("model.gguf")).unwrap(),
        };
        let range = if in_header { bytes.len().min(9000) } else { bytes.len() };
        for (place, byte) in edits {
            bytes[(range as f64 * place) as usize] = byte;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.gguf");
        fs::write(&path, bytes).unwrap();
        let _ = open(&path);
    }
}
