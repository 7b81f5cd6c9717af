//! Description of a checkpoint, without loading its weights.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use calm_backend::FloatType;

use crate::checkpoint;
use crate::config::{BlockParam, ParamId};
use crate::stored::StoredModel;
use crate::{DecoderConfig, ModelError, SpecialIds, Strictness};

/// Description of a checkpoint, from its settings and the headers of its weight files.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CheckpointInfo {
    /// The decoder's description.
    pub config: DecoderConfig,
    /// Ids with a meaning, as [`FrozenModel::special`](crate::FrozenModel::special) has them.
    pub special: SpecialIds,
    /// The weight files.
    pub files: Vec<WeightFileInfo>,
    /// Tensors of the files, in their order.
    pub tensors: Vec<TensorEntry>,
    /// The type that most numbers are stored in, which [`ComputeType::Auto`] goes by.
    ///
    /// [`ComputeType::Auto`]: calm_backend::ComputeType::Auto
    pub stored_type: FloatType,
    /// As [`FrozenModel::weights_sha256`](crate::FrozenModel::weights_sha256) gives it.
    pub weights_sha256: String,
}

/// A weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightFileInfo {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// A tensor in a weight file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// The number of its file, of [`CheckpointInfo::files`].
    pub file: usize,
    /// The type that it is stored in, as the file names it.
    pub dtype: String,
    /// Its shape as stored.
    pub shape: Vec<usize>,
    /// Part that it belongs to; none if it is not read, such as a copy of a tied embedding.
    pub part: Option<Part>,
}

/// Part of a decoder that parameters are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Of tokens, and of positions where they are learnt.
    Embedding,
    /// The projections of the attention, biases included.
    Attention,
    /// The projections of the feed-forward layers, biases included, of all experts.
    FeedForward,
    /// All norms.
    Norms,
    /// The head of a model that is not tied.
    Head,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Embedding,
        Self::Attention,
        Self::FeedForward,
        Self::Norms,
        Self::Head,
    ];

    pub(crate) fn of(id: ParamId) -> Self {
        use BlockParam::*;

        match id {
            ParamId::Embedding | ParamId::Positions => Self::Embedding,
            ParamId::Head => Self::Head,
            ParamId::Block(_, Query | Key | Value | Output) => Self::Attention,
            ParamId::Block(_, Gate | Up | Down | Router | Expert(..) | Shared(_) | SharedGate) => {
                Self::FeedForward
            }
            ParamId::EmbeddingNorm
            | ParamId::FinalNorm
            | ParamId::Block(
                _,
                AttentionNorm | QueryNorm | KeyNorm | AttentionPostNorm | FeedForwardNorm
                | FeedForwardPostNorm,
            ) => Self::Norms,
        }
    }

    /// Its name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Attention => "attention",
            Self::FeedForward => "feed-forward",
            Self::Norms => "norms",
            Self::Head => "head",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl CheckpointInfo {
    /// Reads a directory in the Hugging Face layout, or a GGUF file.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or damaged, the family or a setting is not supported,
    /// or the weights are not those that the settings ask for.
    pub fn read(path: &Path, strictness: Strictness) -> Result<Self, ModelError> {
        let stored = StoredModel::open(path)?;
        let config = stored.config(strictness)?;
        let special = stored.special_ids(&config)?;
        let source = stored.weights()?;
        let config = checkpoint::settle_head(&*source, config)?;
        let parts = checkpoint::check_tensors(&*source, &config, strictness)?;
        let tensors = source.in_file_order().into_iter();
        let tensors = tensors.map(|(name, file, info)| TensorEntry {
            name: name.to_owned(),
            file,
            dtype: info.dtype.clone(),
            shape: info.shape.clone(),
            part: parts.get(name).copied(),
        });
        let files = source.files()?.into_iter();
        let files = files.map(|(name, bytes)| WeightFileInfo {
            name: name.to_owned(),
            bytes,
        });
        Ok(Self {
            config,
            special,
            files: files.collect(),
            tensors: tensors.collect(),
            stored_type: checkpoint::stored_type(&*source),
            weights_sha256: source.sha256()?,
        })
    }

    /// Numbers in all tensors that are read; a head that is tied to the embedding counts once.
    pub fn parameters(&self) -> usize {
        Part::ALL.map(|part| self.parameters_of(part)).iter().sum()
    }

    /// Numbers in the tensors of a part.
    pub fn parameters_of(&self, part: Part) -> usize {
        let tensors = self.tensors.iter();
        let tensors = tensors.filter(|tensor| tensor.part == Some(part));
        tensors
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }

    /// Size of all weight files.
    pub fn weight_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The types that tensors are stored in, as files name them; of one file or of all.
    pub fn stored_as(&self, file: Option<usize>) -> Vec<&str> {
        let tensors = self.tensors.iter();
        let tensors = tensors.filter(|tensor| file.is_none_or(|file| tensor.file == file));
        let types: BTreeSet<&str> = tensors.map(|tensor| tensor.dtype.as_str()).collect();
        types.into_iter().collect()
    }
}
