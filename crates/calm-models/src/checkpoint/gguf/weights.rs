//! The files of a model, and the tensors in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calm_backend::MappedFile;

use super::error::GgufError;
use super::metadata::Metadata;
use super::{header, invalid};
use crate::checkpoint::header::TensorInfo;
use crate::checkpoint::source::{TensorFiles, TensorSource, WeightFile};
use crate::families::Names;
use crate::{Family, ModelError};

/// Keys of a file that is one of several: its number from 0, and the number of all.
const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
/// Tensors in all of them together.
const TENSORS: &str = "split.tensors.count";

/// The gate of an expert that all tokens use, which has one output and is stored as a vector.
pub(super) const SHARED_GATE: &str = "ffn_gate_inp_shexp";

/// Norms of queries and keys, which are matrices where each head has its own.
const HEAD_NORMS: [&str; 2] = ["attn_q_norm", "attn_k_norm"];

/// Tensors of all files of a model.
#[derive(Debug)]
pub(super) struct Weights {
    /// The file that was opened, for messages.
    path: PathBuf,
    names: &'static Names,
    held: TensorFiles,
}

/// A file whose header is read.
pub(super) struct Opened {
    path: PathBuf,
    file: WeightFile,
    pub(super) metadata: Arc<Metadata<MappedFile>>,
    tensors: Vec<(String, TensorInfo)>,
}

/// Opens a file and the others of its model, in their order. The first holds the metadata.
pub(super) fn open(path: &Path) -> Result<Vec<Opened>, ModelError> {
    let given = Opened::open(path)?;
    let count = match given.count(COUNT)? {
        None | Some(0 | 1) => return Ok(vec![given]),
        Some(count) => count,
    };
    let name = SplitName::parse(path).filter(|name| name.count == count);
    let name = name.ok_or_else(|| {
        let number = given
            .count(NUMBER)
            .ok()
            .flatten()
            .unwrap_or(0)
            .saturating_add(1);
        given.refuse(format!(
            "is file {number} of {count} of a model, but is not named so; its name must end in \
             -{number:05}-of-{count:05}.gguf, as those of the others"
        ))
    })?;
    let (mut given, mut opened) = (Some(given), Vec::new());
    for number in 1..=count {
        let taken = given.take_if(|_| number == name.number);
        let file = taken.map_or_else(|| Opened::open(&name.path(number)), Ok)?;
        let found = (file.count(NUMBER)?, file.count(COUNT)?);
        if found != (Some(number - 1), Some(count)) {
            let reason = "says that it is another of a model's files than its name does; all must be \
                          of the same model";
            return Err(file.refuse(reason.to_owned()));
        }
        opened.push(file);
    }
    check_total(&opened)?;
    Ok(opened)
}

fn check_total(opened: &[Opened]) -> Result<(), ModelError> {
    let Some(first) = opened.first() else {
        return Ok(());
    };
    let found: usize = opened.iter().map(|file| file.tensors.len()).sum();
    match first.count(TENSORS)? {
        Some(expected) if expected != found as u64 => Err(first.refuse(format!(
            "says that the {} files of its model have {expected} tensors, but they have {found}; all \
             must be of the same model",
            opened.len()
        ))),
        _ => Ok(()),
    }
}

impl Opened {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let file = WeightFile::open(name.into_owned(), path.to_owned())?;
        let bytes = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
        let header = header::read(&file.map(0..bytes)?);
        let header = header.map_err(|source| invalid(path, source))?;
        Ok(Self {
            metadata: Arc::new(Metadata::new(file.map(0..header.bytes)?, header.values)),
            path: path.to_owned(),
            file,
            tensors: header.tensors,
        })
    }

    fn count(&self, key: &str) -> Result<Option<u64>, ModelError> {
        let count = self.metadata.count(key);
        count.map_err(|source| invalid(&self.path, source))
    }

    fn refuse(&self, reason: String) -> ModelError {
        invalid(&self.path, GgufError::Split { reason })
    }
}

/// A name such as `model-00002-of-00003.gguf`.
struct SplitName<'a> {
    directory: &'a Path,
    stem: &'a str,
    /// From 1.
    number: u64,
    count: u64,
}

impl<'a> SplitName<'a> {
    fn parse(path: &'a Path) -> Option<Self> {
        let number = |digits: &str| match digits.len() {
            5 => digits.parse().ok(),
            _ => None,
        };
        let (rest, count) = path.file_stem()?.to_str()?.rsplit_once("-of-")?;
        let (stem, part) = rest.rsplit_once('-')?;
        Some(Self {
            directory: path.parent()?,
            stem,
            number: number(part)?,
            count: number(count)?,
        })
    }

    fn path(&self, number: u64) -> PathBuf {
        let Self { stem, count, .. } = self;
        let name = format!("{stem}-{number:05}-of-{count:05}.gguf");
        self.directory.join(name)
    }
}

/// Names of the files of a model, one of which is `name`; of one in several, all in order.
#[cfg(feature = "hub")]
pub(crate) fn parts(name: &str) -> impl Iterator<Item = String> {
    let split = SplitName::parse(Path::new(name));
    let split = split.filter(|split| (1..=split.count).contains(&split.number));
    let single = split.is_none().then(|| name.to_owned());
    let parts = split.into_iter().flat_map(|split| {
        (1..=split.count).map(move |number| split.path(number).to_string_lossy().into_owned())
    });
    single.into_iter().chain(parts)
}

/// The shape that families give a tensor: of norms head by head one after the other.
fn settle_shape(name: &str, shape: &mut Vec<usize>) {
    if name.contains(SHARED_GATE) && shape.len() == 1 {
        shape.insert(0, 1);
    }
    let is_norm = HEAD_NORMS.iter().any(|norm| name.contains(norm));
    if is_norm && shape.len() == 2 {
        *shape = vec![shape.iter().product()];
    }
}

impl Weights {
    /// The tensors of these files, which have such names.
    pub(super) fn new(path: &Path, names: &'static Names, opened: Vec<Opened>) -> Self {
        let mut held = TensorFiles::default();
        for Opened {
            file, mut tensors, ..
        } in opened
        {
            for (name, info) in &mut tensors {
                settle_shape(name, &mut info.shape);
            }
            held.add(file, tensors);
        }
        Self {
            path: path.to_owned(),
            names,
            held,
        }
    }

    /// Type, shape and place of a tensor.
    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensor(name).map(|tensor| tensor.info)
    }

    /// The numbers of a tensor.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<f32>>, ModelError> {
        match self.tensor(name) {
            Some(tensor) => tensor.to_f32(),
            None => Ok(None),
        }
    }
}

impl TensorSource for Weights {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names_of(&self, _family: Family) -> &'static Names {
        self.names
    }

    fn held(&self) -> &TensorFiles {
        &self.held
    }
}
