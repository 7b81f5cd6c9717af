//! Checkpoints to be damaged.

use std::fs;
use std::path::{Path, PathBuf};

use calm_models::{FrozenModel, LoadOptions, ModelError};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::fixtures;

/// Files of the checkpoint.
const FILES: [&str; 4] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "model.safetensors",
];

/// A checkpoint whose files may be damaged.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    _directory: Option<TempDir>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Checkpoint {
    /// A sound one, which lies in a directory of its own as long as it lives: the `llama` of
    /// `calm-models`, 3 blocks of width 32 with 80 tokens.
    pub fn new() -> Self {
        let from = fixtures("calm-models").join("llama");
        Self::copied(&from, &FILES)
    }

    /// A copy of these files of a directory.
    pub fn copied(from: &Path, files: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in files {
            fs::copy(from.join(name), directory.path().join(name)).unwrap();
        }
        Self {
            path: directory.path().to_owned(),
            _directory: Some(directory),
        }
    }

    /// The one in a directory that somebody else made.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            _directory: None,
        }
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.path
    }

    /// Loads it.
    ///
    /// # Errors
    ///
    /// [`ModelError`] for what is wrong with it.
    pub fn load(&self) -> Result<FrozenModel, ModelError> {
        FrozenModel::load(self.dir(), &LoadOptions::default())
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Changes the bytes of a file.
    pub fn bytes(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Replaces text of a file, where it stands first.
    pub fn text(&self, name: &str, old: &str, new: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "{name}");
        fs::write(self.path(name), text.replacen(old, new, 1)).unwrap();
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Changes the value in a file.
    pub fn json(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        change(&mut value);
        self.write(name, value.to_string());
    }

    /// Another value for a setting of `config.json`.
    pub fn config(&self, key: &str, value: Value) {
        self.json("config.json", |config| config[key] = value);
    }

    /// Another value for a part of the tokenizer.
    pub fn tokenizer(&self, part: &str, value: Value) {
        self.json("tokenizer.json", |tokenizer| tokenizer[part] = value);
    }

    /// Changes the header's object and the data of the weights.
    pub fn header(&self, change: impl FnOnce(&mut Map<String, Value>, &mut Vec<u8>)) {
        self.bytes("model.safetensors", |file| {
            let (mut header, mut data) = split(file);
            change(&mut header, &mut data);
            *file = joined(&Value::Object(header).to_string(), &data);
        });
    }

    /// Replaces text of the header by other text.
    pub fn header_text(&self, old: &str, new: &str) {
        self.bytes("model.safetensors", |file| {
            let (header, data) = split(file);
            let text = Value::Object(header).to_string();
            assert!(text.contains(old), "{old}");
            *file = joined(&text.replacen(old, new, 1), &data);
        });
    }

    /// Two shards, the first with the head alone, and an index with these files.
    pub fn shards(&self, index: impl Fn(&str) -> &str) {
        let (header, data) = split(&fs::read(self.path("model.safetensors")).unwrap());
        let (first, second): (Map<_, _>, Map<_, _>) = header
            .into_iter()
            .partition(|(name, _)| name == "lm_head.weight");
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
    pub fn directory(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        fs::create_dir(self.path(name)).unwrap();
    }

    /// Replaces a file by a link.
    #[cfg(unix)]
    pub fn link(&self, name: &str, target: &str) {
        let _ = fs::remove_file(self.path(name));
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }
}

fn split(file: &[u8]) -> (Map<String, Value>, Vec<u8>) {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    header.shift_remove("__metadata__");
    (header, data.to_vec())
}
/// A safetensors file of this header and these data.
pub fn joined(header: &str, data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length, header.as_bytes(), data].concat()
}
/// The place of a tensor in the data, of its description in the header.
pub fn offsets(tensor: &Value) -> std::ops::Range<usize> {
    let [start, end] = [0, 1].map(|end| tensor["data_offsets"][end].as_u64().unwrap() as usize);
    start..end
}
