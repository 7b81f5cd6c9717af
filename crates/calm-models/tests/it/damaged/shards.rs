//! Weights in several files, and the index of them.

use std::fs;

use calm_models::{ModelError, WeightProblem};
use calm_testing::Checkpoint;
use serde_json::{Value, json};

use super::{assert_all_refused, error, problems};

#[test]
fn shards() {
    assert_all_refused(&[
        (
            "missing from the index",
            |c| {
                c.shards(|shard| shard);
                c.json("model.safetensors.index.json", |index| {
                    let files = index["weight_map"].as_object_mut().unwrap();
                    files.retain(|_, file| file == "two.safetensors");
                });
            },
            &["tensor lm_head.weight is missing"],
        ),
        (
            "missing from the directory",
            |c| {
                c.shards(|shard| shard);
                fs::remove_file(c.path("one.safetensors")).unwrap();
            },
            &["one.safetensors: No such file"],
        ),
        (
            "in the directory above",
            |c| c.shards(|_| "../anchor/model.safetensors"),
            &["index.json: it names the file \"../anchor/model.safetensors\""],
        ),
        (
            "anywhere",
            |c| c.shards(|_| "/dev/zero"),
            &[
                "index.json: it names the file \"/dev/zero\"",
                "same directory",
            ],
        ),
        (
            "an index of nothing",
            |c| {
                c.shards(|shard| shard);
                c.write("model.safetensors.index.json", "{\"weight_map\": {}}");
            },
            &["model.safetensors.index.json: its weight_map is empty"],
        ),
        (
            "an index that names a tensor twice",
            |c| {
                c.shards(|shard| shard);
                let twice = r#"{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}"#;
                c.write("model.safetensors.index.json", twice);
            },
            &["model.safetensors.index.json: key 'a' occurs twice"],
        ),
        (
            "an index that is no index",
            |c| {
                c.shards(|shard| shard);
                c.write("model.safetensors.index.json", "[".repeat(1 << 20));
            },
            &["model.safetensors.index.json: recursion limit exceeded"],
        ),
        (
            "the same tensors twice",
            |c| {
                c.shards(|shard| shard);
                fs::copy(c.path("two.safetensors"), c.path("one.safetensors")).unwrap();
            },
            &["tensor model.norm.weight is in two files"],
        ),
    ]);
}

/// A checkpoint in shards, with this index.
fn with_index(index: &Value) -> Checkpoint {
    let checkpoint = Checkpoint::new();
    let shard = checkpoint.path("model-00001-of-00001.safetensors");
    fs::rename(checkpoint.path("model.safetensors"), shard).unwrap();
    checkpoint.write("model.safetensors.index.json", index.to_string());
    checkpoint
}

#[test]
fn shards_stay_in_their_directory() {
    let of = |name| with_index(&json!({ "weight_map": { "lm_head.weight": name } }));
    assert!(of("model-00001-of-00001.safetensors").load().is_ok());
    for name in ["../model.safetensors", "/etc/hostname", ""] {
        let error = error(&of(name));
        assert!(matches!(error, ModelError::Index { .. }), "{name}");
    }
    let empty = error(&with_index(&json!({ "weight_map": {} })));
    assert!(matches!(empty, ModelError::Index { .. }));
    let absent = error(&of("absent.safetensors"));
    assert!(matches!(absent, ModelError::Io { .. }));
}

#[test]
fn tensors_in_two_shards() {
    let index = json!({ "weight_map": { "a": "model-00001-of-00001.safetensors", "b": "copy" } });
    let checkpoint = with_index(&index);
    let shard = checkpoint.path("model-00001-of-00001.safetensors");
    fs::copy(shard, checkpoint.path("copy")).unwrap();
    let problems = problems(error(&checkpoint));
    assert!(
        problems
            .iter()
            .all(|problem| matches!(problem, WeightProblem::Duplicate { .. }))
    );
    assert!(!problems.is_empty());
}
