//! Files with bytes changed at random: an error or a model, never a panic. And files made to take
//! memory: none takes much more than its own size.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::common::fixture;
use calm_models::{
    Chat, ChatTemplate, CheckpointInfo, Family, FrozenModel, LoadOptions, Strictness, Tokenizer,
};
use calm_testing::{Checkpoint, joined};
use proptest::prelude::*;
use serde_json::json;

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
        if let Err(error) = CheckpointInfo::read(dir.path(), Strictness::Strict) {
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
            if let Err(error) = Family::read(&text, Path::new("config.json"), Strictness::Strict) {
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

    #[test]
    fn indices(edits in edits(), kept in kept()) {
        let checkpoint = copy("gpt2");
        let shard = "model-00001-of-00001.safetensors";
        fs::rename(checkpoint.path("model.safetensors"), checkpoint.path(shard)).unwrap();
        let index = json!({
            "metadata": { "total_size": 4096 },
            "weight_map": { "transformer.wte.weight": shard, "transformer.wpe.weight": shard },
        });
        let index = edited(index.to_string().as_bytes(), &edits, kept);
        checkpoint.write("model.safetensors.index.json", index);
        if let Err(error) = CheckpointInfo::read(checkpoint.dir(), Strictness::Strict) {
            assert_one_line(&error);
        }
    }

    #[test]
    fn special_ids(edits in edits(), kept in kept()) {
        let checkpoint = copy("gpt2");
        let text = fs::read(fixture("gpt2").join("generation_config.json")).unwrap();
        checkpoint.write("generation_config.json", edited(&text, &edits, kept));
        if let Err(error) = checkpoint.load() {
            assert_one_line(&error);
        }
    }

    #[test]
    fn templates(edits in edits(), kept in kept()) {
        for entry in fs::read_dir(fixture("text/chat")).unwrap() {
            let source = fs::read(entry.unwrap().path()).unwrap();
            let source = edited(&source, &edits, kept);
            let source = String::from_utf8_lossy(&source);
            let path = Path::new("chat_template.jinja");
            let template = ChatTemplate::new(&source, &Default::default(), path);
            let chat = Chat::question(Some("Be brief."), "Why?");
            // What a template says may have any number of lines, also in an error.
            let _ = template.and_then(|template| template.render(&chat));
        }
    }
}

fn copy(name: &str) -> Checkpoint {
    Checkpoint::copied(
        &fixture(name),
        &["config.json", "tokenizer.json", "model.safetensors"],
    )
}

/// Tells a process that runs this test to open the checkpoint, and to say what that took.
const OPEN: &str = "CALM_TEST_OPEN";

/// A name, what is done to a checkpoint, and a factor.
type Greedy = (&'static str, fn(&Checkpoint), usize);

/// Files that ask for much, each with how many times their own size opening them may take: JSON
/// values and lists take more room than their texts.
const GREEDY: &[Greedy] = &[
    (
        "a billion blocks",
        |c| c.config("num_hidden_layers", json!(1_000_000_000)),
        1,
    ),
    (
        "a vocabulary of 2^24 and 4096 blocks",
        |c| {
            c.config("vocab_size", json!(1 << 24));
            c.config("num_hidden_layers", json!(4096));
            c.config("intermediate_size", json!(1 << 20));
            c.config("max_position_embeddings", json!(1 << 30));
        },
        1,
    ),
    (
        "a million factors for each of 4096 blocks",
        |c| {
            let factors = json!(vec![1; 1_000_000]);
            let scaling = json!({
                "rope_type": "longrope", "short_factor": factors, "long_factor": factors,
            });
            c.config("rope_parameters", scaling);
            c.config("num_hidden_layers", json!(4096));
        },
        64,
    ),
    (
        "settings without end",
        |c| {
            c.write("config.json", "[0,".repeat(32 << 20));
        },
        1,
    ),
    (
        "settings of small values",
        |c| {
            let text = format!("{{\"a\": [{}0]}}", "0,".repeat(2_000_000));
            c.write("config.json", text);
        },
        64,
    ),
    (
        "an index of many tensors",
        |c| {
            fs::remove_file(c.path("model.safetensors")).unwrap();
            let names = (0..500_000).map(|i| format!("\"{i}\":\"a\""));
            let text = format!(
                "{{\"weight_map\":{{{}}}}}",
                names.collect::<Vec<_>>().join(",")
            );
            c.write("model.safetensors.index.json", text);
        },
        32,
    ),
    (
        "a header of empty tensors",
        |c| {
            let tensor = r#"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
            let tensors = (0..200_000).map(|i| format!("\"{i}\":{tensor}"));
            let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
            c.write("model.safetensors", joined(&header, &[]));
        },
        32,
    ),
    (
        "a header of one long shape",
        |c| {
            let shape = vec!["1"; 2_000_000].join(",");
            let header =
                format!(r#"{{"a":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,0]}}}}"#);
            c.write("model.safetensors", joined(&header, &[]));
        },
        32,
    ),
    (
        "a table of replacements of gigabytes",
        |c| {
            let table = "/////wAA"; // 2^32 - 1
            let part = json!({ "type": "Precompiled", "precompiled_charsmap": table });
            c.tokenizer("normalizer", part);
        },
        1,
    ),
];

#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded_by_the_files() {
    if let Some(dir) = std::env::var_os(OPEN) {
        let opened = FrozenModel::load(Path::new(&dir), &LoadOptions::default());
        let line = format!(
            "peak {} ok {}\n",
            calm_backend::peak_memory().unwrap() as usize,
            opened.is_ok()
        );
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        return;
    }
    let (usual, serves) = open(Checkpoint::new().dir());
    assert!(serves);
    for (name, damage, times) in GREEDY {
        let checkpoint = Checkpoint::new();
        damage(&checkpoint);
        let (peak, serves) = open(checkpoint.dir());
        assert!(!serves, "{name}");
        let files = fs::read_dir(checkpoint.dir()).unwrap();
        let bytes: u64 = files
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        // 4096 blocks, none of whose tensors are there, take 44 MB to list. A file that is too
        // long for its kind is not read to its end.
        let allowed = usual + (64 << 20) + times * (bytes as usize).min(32 << 20);
        assert!(
            peak <= allowed,
            "{name} takes {peak} bytes, allowed are {allowed}"
        );
    }
}

/// Memory that a process that opens a checkpoint takes at most, and whether it was opened.
#[cfg(target_os = "linux")]
fn open(dir: &Path) -> (usize, bool) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "hostile::memory_is_bounded_by_the_files",
        "--nocapture",
    ]);
    let output = command.env(OPEN, dir).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find_map(|line| line.split_once("peak "));
    let (_, line) = line.unwrap_or_else(|| panic!("{output}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    (words[0].parse().unwrap(), words[2] == "true")
}
