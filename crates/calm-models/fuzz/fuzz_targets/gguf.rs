//! Any bytes as a GGUF file, whose settings, tokenizer and tensors are then read.

#![no_main]

use std::fs;

use calm_models::{ChatTemplate, CheckpointInfo, Strictness, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    let path = dir.path().join("model.gguf");
    fs::write(&path, bytes).expect("there is room for the file");
    if let Err(error) = CheckpointInfo::read(&path, Strictness::default()) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let _ = ChatTemplate::find(&path);
    if let Ok(Some(tokenizer)) = Tokenizer::find(&path) {
        let _ = tokenizer.encode("<s> naïve 🙂</s>", true);
    }
});
