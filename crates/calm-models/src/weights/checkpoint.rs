//! The weight files of a checkpoint, mapped into memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::WeightProblem;
use super::header::{self, TensorInfo};
use crate::ModelError;
use crate::files::read_text;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// An index is about a hundred bytes per tensor.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// All weight files of a directory, their headers checked, nothing of their data read yet.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    dir: PathBuf,
    files: Vec<MappedFile>,
    /// Every tensor with the number of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    duplicates: Vec<WeightProblem>,
}

#[derive(Debug)]
struct MappedFile {
    name: String,
    map: Mmap,
}

impl Checkpoint {
    /// Opens the weights in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut checkpoint = Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            duplicates: Vec::new(),
        };
        for name in file_names(dir)? {
            checkpoint.add(name)?;
        }
        Ok(checkpoint)
    }

    /// Opens a single safetensors file of any name.
    pub(crate) fn open_file(dir: &Path, name: &str) -> Result<Self, ModelError> {
        let (files, duplicates) = (Vec::new(), Vec::new());
        let mut file = Self {
            dir: dir.to_owned(),
            files,
            tensors: BTreeMap::new(),
            duplicates,
        };
        file.add(name.to_owned())?;
        Ok(file)
    }

    fn add(&mut self, name: String) -> Result<(), ModelError> {
        let path = self.dir.join(&name);
        let map = map(&path)?;
        let tensors = header::read(&map).map_err(|source| ModelError::Header { path, source })?;
        for (tensor, info) in tensors {
            if self
                .tensors
                .insert(tensor.clone(), (self.files.len(), info))
                .is_some()
            {
                self.duplicates
                    .push(WeightProblem::Duplicate { name: tensor });
            }
        }
        self.files.push(MappedFile { name, map });
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tensors that are in more than one file.
    pub(crate) fn duplicates(&self) -> &[WeightProblem] {
        &self.duplicates
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's description and bytes.
    pub(crate) fn tensor(&self, name: &str) -> Option<(&TensorInfo, &[u8])> {
        let (file, info) = self.tensors.get(name)?;
        Some((info, &self.files[*file].map[info.bytes.clone()]))
    }

    /// SHA-256 in hexadecimal: of the file if there is one, as `sha256sum` gives it; of several,
    /// of the lines that `sha256sum` prints for them in the order of their names.
    pub(crate) fn sha256(&self) -> String {
        if let [file] = self.files.as_slice() {
            return hex(&Sha256::digest(&file.map));
        }
        let lines: String = self
            .files
            .iter()
            .map(|file| format!("{}  {}\n", hex(&Sha256::digest(&file.map)), file.name))
            .collect();
        hex(&Sha256::digest(lines.as_bytes()))
    }
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn map(path: &Path) -> Result<Mmap, ModelError> {
    let as_io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(as_io)?;
    #[expect(unsafe_code, reason = "mapping a file is unsafe by nature")]
    // SAFETY: The map is only ever read, as bytes, for which every value is valid. Like every
    // reader of mapped checkpoints this trusts that nobody shortens the file meanwhile; writers,
    // `save` among them, replace checkpoints by renaming and leave the mapped file alone.
    let map = unsafe { Mmap::map(&file) };
    map.map_err(as_io)
}

/// The weight files of a directory, sorted.
fn file_names(dir: &Path) -> Result<Vec<String>, ModelError> {
    if dir.join(SINGLE).exists() {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let path = dir.join(INDEX);
    if !path.exists() {
        return Err(ModelError::NoWeights {
            dir: dir.to_owned(),
        });
    }
    let text = read_text(&path, MAX_INDEX_BYTES)?;
    let index: Index = serde_json::from_str(&text).map_err(|source| ModelError::Json {
        path: path.clone(),
        source,
    })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    for name in &names {
        if !is_plain_name(name) {
            let reason =
                format!("it names the file {name:?}; weight files must lie in the same directory");
            return Err(ModelError::Index { path, reason });
        }
    }
    if names.is_empty() {
        return Err(ModelError::Index {
            path,
            reason: "its weight_map is empty".to_owned(),
        });
    }
    Ok(names.into_iter().collect())
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether a name stays inside the directory it is joined to.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(_)), None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory() {
        for name in ["../model.safetensors", "/etc/passwd", "a/b", "..", ".", ""] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("model-00001-of-00002.safetensors"));
    }
}
