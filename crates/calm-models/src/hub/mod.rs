//! Sources of models: a directory, or the Hugging Face Hub.
//!
//! Fetched models lie in the cache that `huggingface_hub` and `transformers` use too, under
//! `models--OWNER--NAME`: files in `blobs/` under their hash, and in `snapshots/COMMIT/` links to
//! them under their names. `refs/` says which commit a branch was at, `.no_exist/` which files a
//! commit does not have.
//!
//! A [`PinnedFile`] is none of a model: its address, size and hash are known before it is fetched.

#[cfg(feature = "hub")]
mod client;
mod dataset;
#[cfg(feature = "hub")]
mod dataset_files;
mod error;
#[cfg(feature = "hub")]
mod fetch;
mod model;
mod pinned;
mod resolve;
mod settings;
#[cfg(feature = "hub")]
mod snapshot;
#[cfg(feature = "hub")]
mod wanted;

pub use dataset::{DatasetFiles, HubDataset};
pub use error::HubError;
pub use model::{HubModel, ModelFiles, ModelSource, SourceError};
pub use pinned::PinnedFile;
pub use settings::Hub;

/// Progress of fetching a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetching<'a> {
    /// Its name, for instance in the repository.
    pub file: &'a str,
    /// Bytes that are there, at first those that an earlier run left.
    pub bytes: u64,
    /// Its size.
    pub total_bytes: u64,
}
