//! The file that says what was built, which is written last.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::DataError;
use crate::corpus::InputFile;

/// Its name.
pub(in crate::builders) const MANIFEST: &str = "manifest.json";

/// Writes it.
///
/// # Errors
///
/// [`DataError::Io`].
pub(in crate::builders) fn write_manifest(
    manifest: &impl Serialize,
    path: &Path,
) -> Result<(), DataError> {
    calm_files::write_with(path, |file| {
        serde_json::to_writer_pretty(&mut *file, manifest)?;
        file.write_all(b"\n")
    })?;
    Ok(())
}

/// Files with their sizes and hashes.
///
/// # Errors
///
/// [`DataError::Io`] if one cannot be read.
pub(in crate::builders) fn input_files(paths: Vec<PathBuf>) -> Result<Vec<InputFile>, DataError> {
    let input = |path: PathBuf| {
        let bytes = std::fs::metadata(&path)
            .map_err(DataError::io(&path))?
            .len();
        let sha256 = calm_files::sha256_file(&path)?;
        Ok(InputFile {
            path,
            bytes,
            sha256,
        })
    };
    paths.into_iter().map(input).collect()
}
