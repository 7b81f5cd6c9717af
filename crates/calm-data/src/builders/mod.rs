//! Builders of datasets: settings in, a directory of files out, the same bytes for the same settings.

pub mod code;
pub mod kv;
pub mod ntl;
mod observer;
mod shared;
mod staging;

use std::path::{Path, PathBuf};

pub use observer::{BuildObserver, BuildPart, Unobserved};
use serde::{Deserialize, Serialize};

use crate::DataError;
use kv::{KvConfig, KvDataset, KvSizes};
use ntl::corpora::{self, BuildOptions};
use ntl::output;
use ntl::world::{self, World, WorldConfig, WorldSizes};

/// A builder with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "builder", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BuilderConfig {
    /// Key-value arithmetic.
    Kv {
        /// Keys, values and expressions.
        #[serde(default)]
        config: KvConfig,
        /// Numbers of examples.
        #[serde(default)]
        sizes: KvSizes,
    },
    /// A generated world of languages.
    Ntl {
        /// Languages, corpora and D_C.
        #[serde(default)]
        config: WorldConfig,
        /// How much of each file.
        #[serde(default)]
        sizes: WorldSizes,
    },
    /// Real corpora of languages.
    Corpora {
        /// The file that names them.
        manifest: PathBuf,
        /// Another seed than the manifest's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<u64>,
    },
}

impl BuilderConfig {
    /// Version of the builder. It changes when the same settings would give other bytes.
    pub fn version(&self) -> u32 {
        match self {
            Self::Kv { .. } => kv::BUILDER_VERSION,
            Self::Ntl { .. } => world::BUILDER_VERSION,
            Self::Corpora { .. } => output::BUILDER_VERSION,
        }
    }

    /// SHA-256 of the files that the dataset depends on besides these settings; none if it depends on
    /// no file.
    ///
    /// # Errors
    ///
    /// [`DataError`] if one of them is wrong or not there.
    pub fn inputs(&self) -> Result<Option<String>, DataError> {
        match self {
            Self::Kv { .. } | Self::Ntl { .. } => Ok(None),
            Self::Corpora { manifest, .. } => corpora::sha256_of_inputs(manifest).map(Some),
        }
    }

    /// Writes the dataset to a directory.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] if a setting is out of range, [`DataError::Io`].
    pub fn build(&self, directory: &Path) -> Result<(), DataError> {
        match self {
            Self::Kv { config, sizes } => {
                kv::build(&KvDataset::new(config.clone())?, *sizes, directory)
            }
            Self::Ntl { config, sizes } => {
                world::build(&World::new(config.clone())?, *sizes, directory).map(drop)
            }
            Self::Corpora { manifest, seed } => {
                let options = BuildOptions { seed: *seed };
                let built = corpora::build(manifest, Some(directory), options, &mut Unobserved);
                built.map(drop)
            }
        }
    }
}
