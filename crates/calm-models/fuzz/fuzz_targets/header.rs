//! Any bytes as the weights of a Llama.

#![no_main]

use std::fs;

use calm_models::{CheckpointInfo, Strictness};
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = include_str!("../../tests/fixtures/llama/config.json");

fuzz_target!(|bytes: &[u8]| {
    let dir = tempfile::tempdir().expect("there is room for a directory");
    fs::write(dir.path().join("config.json"), CONFIG).expect("there is room for the settings");
    fs::write(dir.path().join("model.safetensors"), bytes).expect("there is room for the weights");
    if let Err(error) = CheckpointInfo::read(dir.path(), Strictness::Strict) {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
});
