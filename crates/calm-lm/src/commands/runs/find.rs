//! Where runs are.

use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::train::RunLog;

use crate::failure::Failure;

/// Directories below one another that are looked into.
const DEPTH: usize = 12;

/// The directories of all runs in and below this one, in the order of their names. Links and hidden
/// directories are not followed.
pub(super) fn runs_below(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    fs::read_dir(directory).map_err(|error| Failure::path(directory, error.to_string()))?;
    let mut found = Vec::new();
    search(directory, DEPTH, &mut found);
    Ok(found)
}

fn search(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if RunLog::is_run(directory) {
        found.push(directory.to_owned());
        return;
    }
    // A directory that may not be read has no run for us.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut below: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .collect();
    below.sort();
    for path in below.iter().filter(|_| depth > 0) {
        search(path, depth - 1, found);
    }
}
