//! What a dataset of corpora depends on besides its settings.

use std::fs;
use std::path::{Path, PathBuf};

use calm_files::{sha256, sha256_file};

use crate::DataError;
use crate::corpus::{CorporaManifest, plain_files};

/// SHA-256 of a manifest and of all files that it names: corpora, benchmarks, and the model that
/// identifies languages.
///
/// # Errors
///
/// [`DataError`] if a file is wrong or not there.
pub fn sha256_of_inputs(manifest: &Path) -> Result<String, DataError> {
    let read = CorporaManifest::read(manifest)?;
    let mut hashes = vec![sha256_file(manifest)?];
    for path in read.corpora.iter().flat_map(|corpus| &corpus.files) {
        for file in plain_files(path)? {
            hashes.push(sha256_file(file)?);
        }
    }
    let model = read.steps.identify.as_ref().map(|identify| &identify.model);
    let benchmarks = read.benchmarks.iter().map(|benchmark| &benchmark.path);
    for path in benchmarks.chain(model) {
        add(path, &mut hashes)?;
    }
    Ok(sha256(hashes.concat()))
}

/// Adds the hash of a file, or names and hashes of the files in a directory.
fn add(path: &Path, hashes: &mut Vec<String>) -> Result<(), DataError> {
    if !path.is_dir() {
        hashes.push(sha256_file(path)?);
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(DataError::io(path))?;
    let entries = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = entries
        .collect::<Result<_, _>>()
        .map_err(DataError::io(path))?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default();
        hashes.push(sha256(name.as_encoded_bytes()));
        add(&path, hashes)?;
    }
    Ok(())
}
