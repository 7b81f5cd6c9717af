//! Files with bytes changed at random: an error or a model, never a panic.

mod common;

use std::fs;
use std::path::Path;

use calm_models::{CheckpointInfo, Family, FrozenModel, LoadOptions, Tokenizer};
use common::fixture;
use proptest::prelude::*;

/// Places, as shares of a length, and what to write there.
fn edits() -> impl Strategy<Value = Vec<(f64, u8)>> {
    prop::collection::vec((0.0..1.0, any::<u8>()), 1..6)
}

fn edited(original: &[u8], edits: &[(f64, u8)], kept: f64) -> Vec<u8> {
    let mut bytes = original[..(original.len() as f64 * kept).ceil() as usize].to_vec();
    let length = bytes.len();
    for (place, byte) in edits {
        bytes[(length as f64 * place) as usize] = *byte;
    }
    bytes
}

/// A file whole, or cut off somewhere.
fn kept() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 0.01..1.0]
}

#[track_caller]
fn assert_one_line(error: &impl ToString) {
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn headers(edits in edits(), kept in kept()) {
        let dir = tempfile::tempdir().unwrap();
        let file = fs::read(fixture("phi3-longrope").join("model.safetensors")).unwrap();
        let header = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
        let mut damaged = edited(&file[..header], &edits, kept);
        damaged.extend(&file[header..]);
        fs::write(dir.path().join("model.safetensors"), damaged).unwrap();
        let config = fixture("phi3-longrope").join("config.json");
        fs::copy(config, dir.path().join("config.json")).unwrap();
        if let Err(error) = CheckpointInfo::read(dir.path()) {
            assert_one_line(&error);
        }
    }

    #[test]
    fn tokenizers(edits in edits(), kept in kept()) {
        for name in ["text/byte-level.json", "text/byte-fallback.json"] {
            let file = fs::read(fixture(name)).unwrap();
            let text = edited(&file, &edits, kept);
            let text = String::from_utf8_lossy(&text);
            if let Ok(tokenizer) = Tokenizer::from_json(&*text, Path::new("tokenizer.json")) {
                let _ = tokenizer.encode("<s> naïve 🙂</s>", true);
                let ids: Vec<u32> = (0..300).collect();
                let _ = tokenizer.decode(&ids, true);
            }
        }
    }

    #[test]
    fn settings(edits in edits(), kept in kept()) {
        for name in ["gemma3", "phi3-longrope", "gpt2"] {
            let text = fs::read(fixture(name).join("config.json")).unwrap();
            let text = edited(&text, &edits, kept);
            let text = String::from_utf8_lossy(&text);
            if let Err(error) = Family::read(&text, Path::new("config.json")) {
                assert_one_line(&error);
            }
        }
    }

    #[test]
    fn weights(edits in edits()) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            let file = fs::read(fixture("gpt2").join(name)).unwrap();
            let file = if name == "model.safetensors" { edited(&file, &edits, 1.0) } else { file };
            fs::write(dir.path().join(name), file).unwrap();
        }
        if let Err(error) = FrozenModel::load(dir.path(), &LoadOptions::default()) {
            assert_one_line(&error);
        }
    }
}
