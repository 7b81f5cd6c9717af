//! Weights in safetensors files: one file, or several with an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::WeightProblem;
use super::header::{self, TensorInfo};
use super::source::{TensorFile, TensorSource, WeightFile};
use crate::ModelError;
use crate::files::{from_json, is_there, read_text};

pub(crate) const SINGLE: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// An index is about a hundred bytes per tensor.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// The safetensors files of a directory, their headers checked, nothing of their data read yet.
#[derive(Debug)]
pub(crate) struct Safetensors {
    dir: PathBuf,
    files: Vec<WeightFile>,
    /// Every tensor with the number of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    duplicates: Vec<WeightProblem>,
}

impl Safetensors {
    /// Opens the weights in `dir`.
    pub(crate) fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut source = Self::empty(dir);
        for name in file_names(dir)? {
            source.add(name)?;
        }
        Ok(source)
    }

    /// Opens a single safetensors file of any name.
    pub(crate) fn open_file(dir: &Path, name: &str) -> Result<Self, ModelError> {
        let mut source = Self::empty(dir);
        source.add(name.to_owned())?;
        Ok(source)
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
        let file = WeightFile::open(name, path.clone())?;
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
}

impl TensorSource for Safetensors {
    fn dir(&self) -> &Path {
        &self.dir
    }

    fn duplicates(&self) -> &[WeightProblem] {
        &self.duplicates
    }

    fn files(&self) -> Result<Vec<(&str, u64)>, ModelError> {
        let files = self.files.iter();
        files.map(|file| Ok((&*file.name, file.bytes()?))).collect()
    }

    fn in_order(&self) -> Vec<(&str, usize, &TensorInfo)> {
        let tensors = self.tensors.iter();
        let tensors = tensors.map(|(name, (file, info))| (name.as_str(), *file, info));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort_by_key(|(_, file, info)| (*file, info.bytes.start));
        tensors
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn tensor(&self, name: &str) -> Option<TensorFile<'_>> {
        let (file, info) = self.tensors.get(name)?;
        Some(TensorFile {
            info,
            file: &self.files[*file],
        })
    }

    fn sha256(&self) -> Result<String, ModelError> {
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
