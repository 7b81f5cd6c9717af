//! What a checkpoint is, without loading its weights.

use std::collections::BTreeSet;
use std::path::Path;

use crate::files::read_text;
use crate::frozen::{CONFIG, MAX_CONFIG_BYTES};
use crate::weights::{self, Checkpoint};
use crate::{DecoderConfig, Family, ModelError};

/// What the settings and the headers of the weight files of a checkpoint tell.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointInfo {
    /// The decoder's description.
    pub config: DecoderConfig,
    /// Numbers in all its tensors; a head that is tied to the embedding counts once.
    pub parameters: usize,
    /// The types that tensors are stored in, as safetensors names them.
    pub stored_as: Vec<String>,
    /// Size of all weight files.
    pub weight_bytes: u64,
    /// As [`FrozenModel::weights_sha256`](crate::FrozenModel::weights_sha256) gives it.
    pub weights_sha256: String,
}

impl CheckpointInfo {
    /// Reads a directory in the Hugging Face layout.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or damaged, the family or a setting is not supported,
    /// or the weights are not those that the settings ask for.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join(CONFIG);
        let config = Family::read(&read_text(&path, MAX_CONFIG_BYTES)?, &path)?;
        let checkpoint = Checkpoint::open(dir)?;
        let config = weights::settle_head(&checkpoint, config)?;
        let parameters = weights::check_tensors(&checkpoint, &config)?;
        let tensors = checkpoint
            .names()
            .filter_map(|name| checkpoint.tensor(name));
        let stored_as: BTreeSet<String> = tensors.map(|t| t.info.dtype.clone()).collect();
        Ok(Self {
            config,
            parameters,
            stored_as: stored_as.into_iter().collect(),
            weight_bytes: checkpoint.bytes()?,
            weights_sha256: checkpoint.sha256()?,
        })
    }
}
