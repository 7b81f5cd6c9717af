//! Damaged, foreign and impossible checkpoints, and those made to harm: each has its error, which
//! says in one line which file is wrong, and how. None is a panic.

mod files;
mod settings;
mod shards;
mod templates;
mod tokenizers;
mod weights;

use calm_models::{HeaderError, ModelError, WeightProblem};
use calm_testing::Checkpoint;
use serde_json::{Map, Value};

/// A name, a damage to a checkpoint, and words of the one line that it is refused with.
type Row = (&'static str, fn(&Checkpoint), &'static [&'static str]);

const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";

/// The error of loading it, whose message must be one line that names a path in the directory.
#[track_caller]
fn error(checkpoint: &Checkpoint) -> ModelError {
    let error = checkpoint.load().unwrap_err();
    assert_named_in_one_line(checkpoint, &error);
    error
}

#[track_caller]
fn assert_named_in_one_line(checkpoint: &Checkpoint, error: &ModelError) {
    let message = error.to_string();
    assert!(!message.contains('\n'), "{message}");
    assert!(
        message.starts_with(&*checkpoint.dir().to_string_lossy()),
        "{message}"
    );
}

/// Rows are damaged copies of one checkpoint, which serves before it is damaged.
#[track_caller]
fn assert_all_refused(rows: &[Row]) {
    assert_refused_by(|checkpoint| checkpoint.load().map(drop), rows);
}

#[track_caller]
fn assert_refused_by(open: impl Fn(&Checkpoint) -> Result<(), ModelError>, rows: &[Row]) {
    for (name, damage, words) in rows {
        let checkpoint = Checkpoint::new();
        damage(&checkpoint);
        let error = open(&checkpoint).expect_err(name);
        assert_named_in_one_line(&checkpoint, &error);
        let message = error.to_string();
        for word in *words {
            assert!(
                message.contains(word),
                "{name}: {word:?} is not in {message}"
            );
        }
    }
    let sound = Checkpoint::new();
    sound.write("chat_template.jinja", "{{ messages[0].content }}");
    open(&sound).unwrap();
    sound.shards(|shard| shard);
    open(&sound).unwrap();
}

/// The error of a checkpoint after a damage.
#[track_caller]
fn error_after(damage: impl FnOnce(&Checkpoint)) -> ModelError {
    let checkpoint = Checkpoint::new();
    damage(&checkpoint);
    error(&checkpoint)
}

/// The error after the settings were changed.
#[track_caller]
fn with_config(change: impl FnOnce(&mut Value)) -> ModelError {
    error_after(|c| c.json("config.json", change))
}

/// The error after the header (its JSON) and the data of the weights were changed.
#[track_caller]
fn with_weights(change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) -> ModelError {
    error_after(|c| c.header(change))
}

/// The error after the bytes of the weights' file were changed.
#[track_caller]
fn with_weight_bytes(change: impl FnOnce(&mut Vec<u8>)) -> ModelError {
    error_after(|c| c.bytes("model.safetensors", change))
}

fn header_error(error: ModelError) -> HeaderError {
    match error {
        ModelError::Header { source, .. } => *source,
        other => panic!("{other:?}"),
    }
}

fn problems(error: ModelError) -> Vec<WeightProblem> {
    match error {
        ModelError::Weights { problems, .. } => problems,
        other => panic!("{other:?}"),
    }
}
