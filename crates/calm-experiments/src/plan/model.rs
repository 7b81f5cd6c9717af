//! A model of an experiment.

use calm_models::ModelSource;

/// A model that systems are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// Name for people: that of its directory, file or repository.
    pub name: String,
    /// Where it is, or will be.
    pub source: ModelSource,
    /// Hash of its files, or of its recipe.
    pub sha256: String,
    /// Bytes of its files; 0 while they are not made.
    pub bytes: u64,
    /// Key of the job that makes it.
    pub made_by: Option<String>,
}
