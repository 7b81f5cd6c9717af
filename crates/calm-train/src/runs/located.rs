//! Data by its name: a path, or data of the Hub.

use std::path::{Path, PathBuf};

use calm_data::ExampleReader;
use calm_models::{Fetching, HubDataset, ModelError};

/// Examples that are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedExamples {
    /// The file, the directory, or the beginning of the names of several files.
    pub path: PathBuf,
    /// Name by which the same examples can be found again: of the Hub, at a commit.
    pub name: PathBuf,
}

/// Finds the examples of a path or of `hf:datasets/owner/name@revision/path`, which are fetched if
/// they are not in the cache.
///
/// # Errors
///
/// [`ModelError`] if they cannot be had, or the name is none. A path is not looked at.
pub fn locate_examples(
    name: &Path,
    progress: &mut dyn FnMut(Fetching<'_>),
) -> Result<LocatedExamples, ModelError> {
    let text = name.to_string_lossy();
    if !HubDataset::is_one(&text) {
        return Ok(LocatedExamples {
            path: name.to_owned(),
            name: name.to_owned(),
        });
    }
    let data: HubDataset = text.parse().map_err(ModelError::Source)?;
    let files = data.fetch(&ExampleReader::ENDINGS, progress)?;
    Ok(LocatedExamples {
        path: files.path,
        name: files.source.to_string().into(),
    })
}
