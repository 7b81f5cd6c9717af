//! The manifest of what was built.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::BUILDER_VERSION;
use crate::DataError;
use crate::builders::shared::{
    Counts, Inputs, MANIFEST, StepCounts, Tally, WrittenFile, dropped, input_files, write_manifest,
};
use crate::cleaning::benchmark_files;
use crate::corpus::{CodeLanguage, CodeManifest, Functions, InputFile, Skip, SourceSpec};

/// What `manifest.json` says.
#[derive(Debug, Clone, Serialize)]
pub struct CodeReport {
    builder: &'static str,
    builder_version: u32,
    program: &'static str,
    seed: u64,
    /// Files of each language.
    pub languages: BTreeMap<CodeLanguage, LanguageFiles>,
    /// Functions of the languages in which they are looked for.
    pub functions: BTreeMap<CodeLanguage, FunctionCounts>,
    /// The files that were written.
    pub files: Vec<WrittenFile>,
    sources: Vec<SourceReport>,
    /// Files of benchmarks.
    other_inputs: Vec<InputFile>,
    settings: CodeManifest,
}

/// Files of a language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LanguageFiles {
    /// Files that were read.
    pub read: u64,
    /// Files that are used.
    pub kept: u64,
    /// Bytes of these.
    pub bytes_kept: u64,
}

/// Functions of a language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FunctionCounts {
    /// Functions with a documentation that describes them.
    pub functions: u64,
    /// Files that the grammar did not understand all of.
    pub files_with_errors: u64,
    /// Files that were given up, since they take the parser too long.
    pub files_given_up: u64,
}

impl FunctionCounts {
    pub(super) fn add(&mut self, found: &Functions) {
        self.functions += found.functions.len() as u64;
        self.files_with_errors += u64::from(found.has_errors);
        self.files_given_up += u64::from(found.is_given_up);
    }
}

/// Counts of files and functions.
#[derive(Debug)]
pub(super) struct Totals<'a> {
    pub(super) files: &'a Tally<CodeLanguage>,
    pub(super) functions: BTreeMap<CodeLanguage, FunctionCounts>,
}

#[derive(Debug, Clone, Serialize)]
struct SourceReport {
    name: String,
    inputs: Vec<InputFile>,
    /// Files that the reader passed over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<Skip, u64>,
    languages: BTreeMap<CodeLanguage, Part>,
}

/// Files of a source in one language.
#[derive(Debug, Clone, Serialize)]
struct Part {
    #[serde(flatten)]
    files: LanguageFiles,
    steps: BTreeMap<String, StepCounts>,
}

impl CodeReport {
    pub(super) fn new(
        manifest: &CodeManifest,
        totals: Totals<'_>,
        inputs: Inputs<'_>,
        files: Vec<WrittenFile>,
    ) -> Result<Self, DataError> {
        let tally = totals.files;
        let source = |(index, spec): (u32, &SourceSpec)| SourceReport {
            name: spec.name.clone(),
            inputs: inputs.files_of(index),
            skipped: inputs.skipped_of(index),
            languages: parts(tally, index),
        };
        let mut languages: BTreeMap<CodeLanguage, LanguageFiles> = BTreeMap::new();
        for (_, language, counts) in tally.all() {
            languages.entry(language).or_default().add(counts);
        }
        let kept: u64 = languages.values().map(|files| files.kept).sum();
        if kept == 0 {
            let causes = tally.causes(tally.all().map(|(_, _, counts)| counts));
            let reason = format!("nothing is left of its sources: {causes}; turn a step off");
            return Err(DataError::file(inputs.manifest, reason));
        }
        let benchmarks = manifest
            .steps
            .decontaminate
            .on()
            .map(|_| &manifest.benchmarks);
        let benchmarks = benchmarks.into_iter().flatten().map(benchmark_files);
        Ok(Self {
            builder: "code",
            builder_version: BUILDER_VERSION,
            program: concat!("calm ", env!("CARGO_PKG_VERSION")),
            seed: manifest.seed,
            languages,
            functions: totals.functions,
            files,
            sources: (0..).zip(&manifest.sources).map(source).collect(),
            other_inputs: input_files(benchmarks.collect::<Result<Vec<_>, _>>()?.concat())?,
            settings: manifest.clone(),
        })
    }

    /// Name of each source, files that were read, passed over by the reader, and kept.
    pub fn sources(&self) -> impl Iterator<Item = (&str, [u64; 3])> {
        self.sources.iter().map(|source| {
            let sum = |count: fn(&LanguageFiles) -> u64| {
                source
                    .languages
                    .values()
                    .map(|part| count(&part.files))
                    .sum()
            };
            let skipped = source.skipped.values().sum();
            let counts = [sum(|files| files.read), skipped, sum(|files| files.kept)];
            (source.name.as_str(), counts)
        })
    }

    /// Files that each step dropped, of all that dropped some.
    pub fn dropped(&self) -> BTreeMap<&str, u64> {
        let languages = self.sources.iter().map(|source| &source.languages);
        let parts = languages.flat_map(BTreeMap::values);
        dropped(parts.map(|part| &part.steps))
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), DataError> {
        write_manifest(self, &directory.join(MANIFEST))
    }
}

impl LanguageFiles {
    fn add(&mut self, counts: &Counts) {
        self.read += counts.read;
        self.kept += counts.kept;
        self.bytes_kept += counts.bytes_kept;
    }
}

fn parts(tally: &Tally<CodeLanguage>, source: u32) -> BTreeMap<CodeLanguage, Part> {
    let of_source = tally.all().filter(|(index, ..)| *index == source);
    let part = |(_, language, counts): (u32, CodeLanguage, &Counts)| {
        let mut files = LanguageFiles::default();
        files.add(counts);
        (
            language,
            Part {
                files,
                steps: tally.named_steps(counts),
            },
        )
    };
    of_source.map(part).collect()
}
