//! Files that are missing, or no files.

use std::fs;
use std::path::Path;

use calm_models::ModelError;
use calm_testing::Checkpoint;

use super::{assert_all_refused, error};

#[cfg(unix)]
#[test]
fn files_that_are_no_files() {
    assert_all_refused(&[
        (
            "a directory of settings",
            |c| c.directory("config.json"),
            &["config.json: not a regular file"],
        ),
        (
            "a directory of weights",
            |c| c.directory("model.safetensors"),
            &["model.safetensors: not a regular file"],
        ),
        (
            "a directory of tokens",
            |c| c.directory("tokenizer.json"),
            &["tokenizer.json: not a regular file"],
        ),
        (
            "a shard that is a directory",
            |c| {
                c.shards(|shard| shard);
                c.directory("one.safetensors");
            },
            &["one.safetensors: not a regular file"],
        ),
        (
            "weights that are a device",
            |c| c.link("model.safetensors", "/dev/zero"),
            &["model.safetensors: not a regular file"],
        ),
        (
            "settings that never end",
            |c| c.link("generation_config.json", "/dev/zero"),
            &["generation_config.json: not a regular file"],
        ),
        (
            "a pipe that nobody writes to",
            |c| {
                fs::remove_file(c.path("tokenizer.json")).unwrap();
                let pipe = std::process::Command::new("mkfifo")
                    .arg(c.path("tokenizer.json"))
                    .status();
                assert!(pipe.unwrap().success());
            },
            &["tokenizer.json: not a regular file"],
        ),
        (
            "weights that are a link to themselves",
            |c| c.link("model.safetensors", "model.safetensors"),
            &["model.safetensors: ", "symbolic links"],
        ),
        (
            "a tokenizer in a circle",
            |c| {
                c.link("tokenizer.json", "other");
                c.link("other", "tokenizer.json");
            },
            &["tokenizer.json: ", "symbolic links"],
        ),
        (
            "an index that leads nowhere",
            |c| {
                fs::remove_file(c.path("model.safetensors")).unwrap();
                c.link("model.safetensors.index.json", "absent");
            },
            &["model.safetensors.index.json: No such file"],
        ),
    ]);
}

#[test]
fn directories_without_a_checkpoint() {
    let checkpoint = Checkpoint::copied(Path::new(""), &[]);
    assert!(matches!(error(&checkpoint), ModelError::Io { .. }));
    let checkpoint = Checkpoint::new();
    fs::remove_file(checkpoint.path("model.safetensors")).unwrap();
    assert!(matches!(error(&checkpoint), ModelError::NoWeights { .. }));
    let checkpoint = Checkpoint::new();
    fs::remove_file(checkpoint.path("tokenizer.json")).unwrap();
    assert!(matches!(error(&checkpoint), ModelError::Tokenizer { .. }));
    let checkpoint = Checkpoint::new();
    checkpoint.write("config.json", b"\xff\xfe");
    assert!(matches!(error(&checkpoint), ModelError::Io { .. }));
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere() {
    for name in [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "model.safetensors",
    ] {
        for target in [name, "absent"] {
            let checkpoint = Checkpoint::new();
            checkpoint.link(name, target);
            let error = error(&checkpoint);
            assert!(matches!(error, ModelError::Io { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
