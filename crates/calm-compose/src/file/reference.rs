//! References from a composition to its frozen models, and the hashes that they are known by.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DESCRIPTION;
use crate::ComposeError;

/// A frozen model of a composition, by its place and its hashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelReference {
    /// The directory it was read from, as the user gave it, or `hf:owner/name@commit`.
    pub path: PathBuf,
    /// SHA-256 of its weight files; of random weights, of the file that they would be saved in, see [`FrozenModel::weights_sha256`](calm_models::FrozenModel::weights_sha256).
    pub weights_sha256: String,
    /// Seed of its weights, if they are random and not those of the directory:
    /// [`LoadedModel::random_init_like`](crate::LoadedModel::random_init_like).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrained_seed: Option<u64>,
    /// SHA-256 of its vocabulary, [`Tokenizer::sha256`](calm_models::Tokenizer::sha256); none if
    /// the composition was made before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
}

/// Hashes of a model at hand, to be compared with a [`ModelReference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelHashes<'a> {
    /// SHA-256 of its weight files.
    pub weights: &'a str,
    /// SHA-256 of its vocabulary.
    pub tokenizer: &'a str,
}

impl ModelReference {
    pub(super) fn check(
        &self,
        directory: &Path,
        role: &str,
        found: ModelHashes<'_>,
    ) -> Result<(), ComposeError> {
        let (path, role) = (directory.join(DESCRIPTION), role.to_owned());
        if self.weights_sha256 != found.weights {
            let (expected, found) = (self.weights_sha256.clone(), found.weights.to_owned());
            return Err(ComposeError::OtherWeights {
                path,
                role,
                expected,
                found,
            });
        }
        match &self.tokenizer_sha256 {
            Some(expected) if expected != found.tokenizer => Err(ComposeError::OtherTokenizer {
                path,
                role,
                expected: expected.clone(),
                found: found.tokenizer.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}
