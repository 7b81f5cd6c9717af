//! The weight files of a checkpoint.
//!
//! Tensors are mapped into memory piece by piece: pages that were read go with the map, so that a
//! model being loaded never stands in memory twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Seek;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use calm_backend::MappedFile;
use serde::Deserialize;

use super::header::{self, TensorInfo};
use super::{Stored, WeightProblem};
use crate::ModelError;
use crate::files::{from_json, is_there, open, read_text};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Tensors are read in pieces of about this size, so that loading takes hardly more memory than
/// what is loaded.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// An index is about a hundred bytes per tensor.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// All weight files of a directory, their headers checked, nothing of their data read yet.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Every tensor with the number of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    duplicates: Vec<WeightProblem>,
}

/// A tensor in its file.
#[derive(Clone, Copy)]
pub(crate) struct TensorFile<'a> {
    pub(crate) info: &'a TensorInfo,
    file: &'a WeightFile,
}

impl TensorFile<'_> {
    /// Some of the tensor's bytes, mapped for as long as they are held.
    pub(super) fn map(&self, bytes: Range<usize>) -> Result<MappedFile, ModelError> {
        let start = self.info.bytes.start;
        self.file.map(start + bytes.start..start + bytes.end)
    }

    /// Every number as `f32`, whether finite or not; none if the type is none of weights.
    pub(crate) fn to_f32(self) -> Result<Option<Vec<f32>>, ModelError> {
        let bytes = self.bytes()?;
        Ok(Stored::from_name(&self.info.dtype).map(|stored| stored.to_f32(&bytes)))
    }

    /// Whether another tensor is the same, to the bit.
    pub(super) fn holds_the_same(self, other: Self) -> Result<bool, ModelError> {
        let (a, b) = (self.info, other.info);
        if (&a.dtype, &a.shape) != (&b.dtype, &b.shape) {
            return Ok(false);
        }
        for start in (0..a.bytes.len()).step_by(PIECE_BYTES) {
            let piece = start..a.bytes.len().min(start + PIECE_BYTES);
            if self.map(piece.clone())?[..] != other.map(piece)?[..] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All of the tensor's bytes.
    pub(crate) fn bytes(self) -> Result<MappedFile, ModelError> {
        self.map(0..self.info.bytes.len())
    }
}

#[derive(Debug)]
struct WeightFile {
    name: String,
    path: PathBuf,
    file: File,
}

impl Checkpoint {
    /// Opens the weights in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut checkpoint = Self::empty(dir);
        for name in file_names(dir)? {
            checkpoint.add(name)?;
        }
        Ok(checkpoint)
    }

    /// Opens a single safetensors file of any name.
    pub(crate) fn open_file(dir: &Path, name: &str) -> Result<Self, ModelError> {
        let mut checkpoint = Self::empty(dir);
        checkpoint.add(name.to_owned())?;
        Ok(checkpoint)
    }

    fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            duplicates: Vec::new(),
        }
    }

    fn add(&mut self, name: String) -> Result<(), ModelError> {
        let path = self.dir.join(&name);
        let file = WeightFile {
            name,
            file: open(&path)?,
            path: path.clone(),
        };
        let bytes = file.bytes()? as usize;
        let tensors = header::read(&file.map(0..bytes)?).map_err(|source| ModelError::Header {
            path,
            source: Box::new(source),
        })?;
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
        self.files.push(file);
        Ok(())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Tensors that are in more than one file.
    pub(crate) fn duplicates(&self) -> &[WeightProblem] {
        &self.duplicates
    }

    /// Names and sizes of the weight files.
    pub(crate) fn files(&self) -> Result<Vec<(&str, u64)>, ModelError> {
        let files = self.files.iter();
        files.map(|file| Ok((&*file.name, file.bytes()?))).collect()
    }

    /// Every tensor with the number of its file, in the order of the files.
    pub(crate) fn in_order(&self) -> Vec<(&str, usize, &TensorInfo)> {
        let tensors = self.tensors.iter();
        let tensors = tensors.map(|(name, (file, info))| (name.as_str(), *file, info));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort_by_key(|(_, file, info)| (*file, info.bytes.start));
        tensors
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor, nothing of which is read yet.
    pub(crate) fn tensor(&self, name: &str) -> Option<TensorFile<'_>> {
        let (file, info) = self.tensors.get(name)?;
        Some(TensorFile {
            info,
            file: &self.files[*file],
        })
    }

    /// SHA-256 in hexadecimal: of the file if there is one, as `sha256sum` gives it; of several,
    /// of the lines that `sha256sum` prints for them in the order of their names.
    pub(crate) fn sha256(&self) -> Result<String, ModelError> {
        if let [file] = self.files.as_slice() {
            return file.sha256();
        }
        let lines: Result<String, ModelError> = self
            .files
            .iter()
            .map(|file| Ok(format!("{}  {}\n", file.sha256()?, file.name)))
            .collect();
        Ok(calm_files::sha256(lines?))
    }
}

impl WeightFile {
    fn map(&self, bytes: Range<usize>) -> Result<MappedFile, ModelError> {
        MappedFile::new(&self.file, bytes).map_err(|source| self.io_error(source))
    }

    fn bytes(&self) -> Result<u64, ModelError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|source| self.io_error(source))?.len())
    }

    fn sha256(&self) -> Result<String, ModelError> {
        let mut file = &self.file;
        let hash = file.rewind().and_then(|()| calm_files::sha256_reader(file));
        hash.map_err(|source| self.io_error(source))
    }

    fn io_error(&self, source: std::io::Error) -> ModelError {
        ModelError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// The weight files of a directory, sorted.
pub(crate) fn file_names(dir: &Path) -> Result<Vec<String>, ModelError> {
    if is_there(&dir.join(SINGLE)) {
        return Ok(vec![SINGLE.to_owned()]);
    }
    let path = dir.join(INDEX);
    if !is_there(&path) {
        return Err(ModelError::NoWeights {
            dir: dir.to_owned(),
        });
    }
    let text = read_text(&path, MAX_INDEX_BYTES)?;
    let index: Index = from_json(&text, &path)?;
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
