//! Sources of tensors: the files that hold the weights of a checkpoint.
//!
//! Tensors are mapped into memory piece by piece. Pages that were read go with the map, so that a
//! model being loaded is never in memory twice.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::Seek;
use std::ops::Range;
use std::path::{Path, PathBuf};

use calm_backend::MappedFile;

use super::header::TensorInfo;
use super::{StorageType, WeightProblem};
use crate::families::Names;
use crate::files::open;
use crate::{Family, ModelError};

/// Tensors are read in pieces of about this size, so that loading takes hardly more memory than
/// what is loaded.
pub(super) const PIECE_BYTES: usize = 4 << 20;

/// Tensors by name. Of their data nothing is read before it is asked for.
///
/// A file format is one implementation.
pub(crate) trait TensorSource: Debug + Send + Sync {
    /// The checkpoint's directory, or its file.
    fn path(&self) -> &Path;

    /// Names and layout of the tensors of a model of this family.
    fn names_of(&self, family: Family) -> &'static Names {
        family.names()
    }

    /// The tensors, and the files that hold them.
    fn held(&self) -> &TensorFiles;

    /// Tensors that are in more than one file.
    fn duplicates(&self) -> &[WeightProblem] {
        &self.held().duplicates
    }

    /// Names and sizes of the files.
    fn files(&self) -> Result<Vec<(&str, u64)>, ModelError> {
        let files = self.held().files.iter();
        files.map(|file| Ok((&*file.name, file.bytes()?))).collect()
    }

    /// Every tensor with the number of its file, in the order of the files.
    fn in_file_order(&self) -> Vec<(&str, usize, &TensorInfo)> {
        let tensors = self.held().tensors.iter();
        let tensors = tensors.map(|(name, (file, info))| (name.as_str(), *file, info));
        let mut tensors: Vec<_> = tensors.collect();
        tensors.sort_by_key(|(_, file, info)| (*file, info.bytes.start));
        tensors
    }

    /// Names of all tensors, sorted.
    fn names(&self) -> Vec<&str> {
        self.held().tensors.keys().map(String::as_str).collect()
    }

    /// A tensor by name.
    fn tensor(&self, name: &str) -> Option<TensorFile<'_>> {
        let held = self.held();
        let (file, info) = held.tensors.get(name)?;
        Some(TensorFile {
            info,
            file: &held.files[*file],
        })
    }

    /// SHA-256 in hexadecimal: of the file if there is one, as `sha256sum` gives it; of several,
    /// of the lines that `sha256sum` prints for them in the order of their names.
    fn sha256(&self) -> Result<String, ModelError> {
        sha256_of(&self.held().files)
    }
}

/// Files, and every tensor in them by its name.
#[derive(Debug, Default)]
pub(crate) struct TensorFiles {
    files: Vec<WeightFile>,
    /// Every tensor with the number of its file.
    tensors: BTreeMap<String, (usize, TensorInfo)>,
    duplicates: Vec<WeightProblem>,
}

impl TensorFiles {
    /// One more file and its tensors. Of a name that occurs twice the last tensor counts.
    pub(super) fn add(
        &mut self,
        file: WeightFile,
        tensors: impl IntoIterator<Item = (String, TensorInfo)>,
    ) {
        for (name, info) in tensors {
            let earlier = self.tensors.insert(name.clone(), (self.files.len(), info));
            if earlier.is_some() {
                self.duplicates.push(WeightProblem::Duplicate { name });
            }
        }
        self.files.push(file);
    }
}

/// A tensor in its file.
#[derive(Clone, Copy)]
pub(crate) struct TensorFile<'a> {
    pub(crate) info: &'a TensorInfo,
    pub(super) file: &'a WeightFile,
}

impl TensorFile<'_> {
    /// Some of the tensor's bytes, mapped for as long as they are held.
    pub(super) fn map(&self, bytes: Range<usize>) -> Result<MappedFile, ModelError> {
        let start = self.info.bytes.start;
        self.file.map(start + bytes.start..start + bytes.end)
    }

    /// Every number as `f32`, whether finite or not; none if weights are not stored in the type.
    pub(crate) fn to_f32(self) -> Result<Option<Vec<f32>>, ModelError> {
        let bytes = self.bytes()?;
        Ok(StorageType::from_name(&self.info.dtype).map(|stored| stored.to_f32(&bytes)))
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

/// SHA-256 in hexadecimal, as [`TensorSource::sha256`] gives it.
fn sha256_of(files: &[WeightFile]) -> Result<String, ModelError> {
    if let [file] = files {
        return file.sha256();
    }
    let lines = files.iter();
    let lines: Result<String, ModelError> = lines
        .map(|file| Ok(format!("{}  {}\n", file.sha256()?, file.name)))
        .collect();
    Ok(calm_files::sha256(lines?))
}

/// A file of weights.
#[derive(Debug)]
pub(crate) struct WeightFile {
    pub(super) name: String,
    path: PathBuf,
    file: File,
}

impl WeightFile {
    pub(super) fn open(name: String, path: PathBuf) -> Result<Self, ModelError> {
        let file = open(&path)?;
        Ok(Self { name, path, file })
    }

    pub(super) fn map(&self, bytes: Range<usize>) -> Result<MappedFile, ModelError> {
        MappedFile::new(&self.file, bytes).map_err(|source| self.io_error(source))
    }

    pub(super) fn bytes(&self) -> Result<u64, ModelError> {
        let metadata = self.file.metadata();
        Ok(metadata.map_err(|source| self.io_error(source))?.len())
    }

    pub(super) fn sha256(&self) -> Result<String, ModelError> {
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
