//! Damaged, foreign and impossible checkpoints, and those made to harm: each has its error, which
//! says in one line which file is wrong, and how. None is a panic.

mod files;
mod settings;
mod shards;
mod templates;
mod tokenizers;
mod weights;

use std::fs;
use std::path::{Path, PathBuf};

use calm_models::{FrozenModel, HeaderError, LoadOptions, ModelError, WeightProblem};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::common::fixture;

/// A name, a damage to a checkpoint, and words of the one line that it is refused with.
type Row = (&'static str, fn(&Checkpoint), &'static [&'static str]);

/// A checkpoint to be damaged: a Llama of 3 blocks of width 32 with 80 tokens.
pub(crate) struct Checkpoint(TempDir);

impl Checkpoint {
    /// A sound one.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "model.safetensors",
        ] {
            fs::copy(fixture("llama").join(name), dir.path().join(name)).unwrap();
        }
        Self(dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn load(&self) -> Result<FrozenModel, ModelError> {
        FrozenModel::load(self.dir(), &LoadOptions::default())
    }

    /// The error of loading it, whose message must be one line that names a path in the directory.
    #[track_caller]
    fn error(&self) -> ModelError {
        let error = self.load().unwrap_err();
        self.assert_named_in_one_line(&error);
        error
    }

    #[track_caller]
    fn assert_named_in_one_line(&self, error: &ModelError) {
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        assert!(
            message.starts_with(&*self.dir().to_string_lossy()),
            "{message}"
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn text(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "{name}");
        fs::write(self.path(name), text.replacen(old, new, 1)).unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    pub(crate) fn config(&self, key: &str, value: Value) {
        self.json("config.json", |config| config[key] = value);
    }

    /// Another value for a part of the tokenizer.
    pub(crate) fn tokenizer(&self, part: &str, value: Value) {
        self.json("tokenizer.json", |tokenizer| tokenizer[part] = value);
    }

    /// Changes the header's object and the data of the weights.
    pub(crate) fn header(&self, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        self.bytes("model.safetensors", |file| {
            let (mut header, mut data) = split(file);
            change(&mut header, &mut data);
            *file = joined(&Value::Object(header).to_string(), &data);
        });
    }

    /// Replaces text of the header by other text.
    pub(crate) fn header_text(&self, old: &str, new: &str) {
        self.bytes("model.safetensors", |file| {
            let (header, data) = split(file);
            let text = Value::Object(header).to_string();
            assert!(text.contains(old), "{old}");
            *file = joined(&text.replacen(old, new, 1), &data);
        });
    }

    /// Two shards, the first with the head alone, and an index with these files.
    pub(crate) fn shards(&self, index: impl Fn(&str) -> &str) {
        let (header, data) = split(&fs::read(self.path("model.safetensors")).unwrap());
        let (first, second): (Map<_, _>, Map<_, _>) =
            header.into_iter().partition(|(name, _)| name == HEAD);
        let mut files = Map::new();
        for (shard, tensors) in [("one.safetensors", first), ("two.safetensors", second)] {
            let mut header = Map::new();
            let mut bytes = Vec::new();
            for (name, mut tensor) in tensors {
                files.insert(name.clone(), json!(index(shard)));
                let start = bytes.len();
                bytes.extend(&data[offsets(&tensor)]);
                tensor["data_offsets"] = json!([start, bytes.len()]);
                header.insert(name, tensor);
            }
            self.write(shard, joined(&Value::Object(header).to_string(), &bytes));
        }
        fs::remove_file(self.path("model.safetensors")).unwrap();
        let index = json!({ "weight_map": files });
        self.write("model.safetensors.index.json", index.to_string());
    }

    /// Replaces a file by a directory.
    pub(crate) fn directory(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        fs::create_dir(self.path(name)).unwrap();
    }

    /// Replaces a file by a link.
    #[cfg(unix)]
    pub(crate) fn link(&self, name: &str, target: &str) {
        let _ = fs::remove_file(self.path(name));
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }
}

const HEAD: &str = "lm_head.weight";
const NORM: &str = "model.norm.weight";

fn split(file: &[u8]) -> (Map<String, Value>, Vec<u8>) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    header.shift_remove("__metadata__");
    (header, data.to_vec())
}

pub(crate) fn joined(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}

fn offsets(tensor: &Value) -> std::ops::Range<usize> {
    let [start, end] = [0, 1].map(|end| tensor["data_offsets"][end].as_u64().unwrap() as usize);
    start..end
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
        checkpoint.assert_named_in_one_line(&error);
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
    checkpoint.error()
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
