//! Builds a dataset of the source code of a manifest.

use std::path::Path;

use super::collector::Collector;
use super::report::CodeReport;
use crate::DataError;
use crate::builders::BuildObserver;
use crate::builders::shared::{Inputs, MANIFEST, SORTING, drive};
use crate::builders::staging::Staging;
use crate::cleaning::code::steps;
use crate::corpus::{CodeManifest, CodeReader};

/// Reads and cleans the code of a manifest, and writes what comes out to a directory, which appears or
/// changes when all is done. Without a directory all is done in a temporary one, to be counted. `seed`
/// takes the place of the manifest's.
///
/// # Errors
///
/// [`DataError`] naming the manifest, file and line that is wrong; nothing is written then.
pub fn build(
    manifest: &Path,
    directory: Option<&Path>,
    seed: Option<u64>,
    observer: &mut dyn BuildObserver,
) -> Result<CodeReport, DataError> {
    let path = manifest;
    let mut manifest = CodeManifest::read(path)?;
    manifest.seed = seed.unwrap_or(manifest.seed);
    let steps = steps(&manifest)?;
    let mut reader = CodeReader::open(&manifest)?;
    let staging = Staging::for_output(directory)?;
    let names: Vec<&str> = steps.iter().map(|step| step.name()).collect();
    let mut collector = Collector::new(&manifest, &names, staging.path(), SORTING)?;
    let total = reader.total_bytes();
    let skipped = drive(&mut reader, total, &steps, &mut collector, observer)?;
    let inputs = Inputs {
        manifest: path,
        files: reader.inputs(),
        skipped: &skipped,
    };
    let report = collector.finish(inputs, observer)?;
    if directory.is_some() {
        staging.publish(MANIFEST)?;
    }
    Ok(report)
}
