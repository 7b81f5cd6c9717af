//! Builds a dataset of the corpora of a manifest.

use std::path::Path;

use crate::DataError;
use crate::builders::BuildObserver;
use crate::builders::ntl::output::{Collector, Inputs, Report};
use crate::builders::shared::{MANIFEST, SORTING, drive};
use crate::builders::staging::Staging;
use crate::cleaning::steps::steps;
use crate::corpus::{CorporaManifest, CorporaReader};

/// How a dataset is built, besides what its manifest says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Another seed than the manifest's.
    pub seed: Option<u64>,
}

/// Reads and cleans the corpora of a manifest, and writes what comes out to a directory, which
/// appears or changes when all is done. Without a directory all is done in a temporary one, to be
/// counted.
///
/// # Errors
///
/// [`DataError`] naming the manifest, file and line that is wrong; nothing is written then.
pub fn build(
    manifest: &Path,
    directory: Option<&Path>,
    options: BuildOptions,
    observer: &mut dyn BuildObserver,
) -> Result<Report, DataError> {
    let path = manifest;
    let mut manifest = CorporaManifest::read(path)?;
    manifest.seed = options.seed.unwrap_or(manifest.seed);
    let steps = steps(&manifest)?;
    let mut reader = CorporaReader::open(&manifest)?;
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
