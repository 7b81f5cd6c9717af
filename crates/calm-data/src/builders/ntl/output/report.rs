//! The manifest of what was built.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::BUILDER_VERSION;
use super::groups::Group;
use crate::DataError;
use crate::builders::shared::{
    self, Counted, Counts, Inputs, MANIFEST, StepCounts, WrittenFile, dropped, input_files,
    write_manifest,
};
use crate::cleaning::benchmark_files;
use crate::corpus::{
    CorporaManifest, CorpusRecord, CorpusSpec, DcConfig, InputFile, LanguageTag, Skip,
};

/// One language of a text, two of a pair.
type Languages = <CorpusRecord as Counted>::Kind;

type Tally = shared::Tally<Languages>;
type GroupCounts = shared::GroupCounts<Group>;

/// What `manifest.json` says.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    builder: &'static str,
    builder_version: u32,
    program: &'static str,
    seed: u64,
    /// Counts of each language: of texts, and of pairs with any other language.
    pub languages: BTreeMap<LanguageTag, LanguageCounts>,
    /// What D_C holds.
    pub d_c: DcCounts,
    /// The files that were written.
    pub files: Vec<WrittenFile>,
    corpora: Vec<CorpusReport>,
    /// Files of benchmarks, and the model that identifies languages.
    other_inputs: Vec<InputFile>,
    settings: CorporaManifest,
}

/// Records of a language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LanguageCounts {
    /// Texts that were read.
    pub texts_in: u64,
    /// Texts that are used.
    pub texts_out: u64,
    /// Pairs that were read, this language being one of their two.
    pub pairs_in: u64,
    /// Pairs that are used.
    pub pairs_out: u64,
}

/// What D_C holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DcCounts {
    /// Its rows.
    pub rows: u64,
    /// Pairs of each low-resource language.
    pub languages: BTreeMap<LanguageTag, Drawn>,
    /// Texts of high-resource languages, and pairs of two of them.
    pub high_resource: BTreeMap<LanguageTag, Drawn>,
}

/// Records that were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// Records in D_C.
    pub records: u64,
    /// Records that they were drawn from.
    pub of: u64,
}

#[derive(Debug, Clone, Serialize)]
struct CorpusReport {
    name: String,
    licence: String,
    weight: f64,
    inputs: Vec<InputFile>,
    /// Records that the reader passed over.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    skipped: BTreeMap<Skip, u64>,
    languages: Vec<Part>,
}

/// Records of a corpus in one language or two.
#[derive(Debug, Clone, Serialize)]
struct Part {
    languages: Vec<LanguageTag>,
    read: u64,
    kept: u64,
    bytes_kept: u64,
    steps: BTreeMap<String, StepCounts>,
}

impl Report {
    pub(super) fn new(
        manifest: &CorporaManifest,
        tally: &Tally,
        inputs: Inputs<'_>,
        d_c: DcCounts,
        files: Vec<WrittenFile>,
    ) -> Result<Self, DataError> {
        let corpus = |(index, spec): (u32, &CorpusSpec)| CorpusReport {
            name: spec.name.clone(),
            licence: spec.licence.clone(),
            weight: spec.weight,
            inputs: inputs.files_of(index),
            skipped: inputs.skipped_of(index),
            languages: parts(tally, index),
        };
        Ok(Self {
            builder: "ntl-corpora",
            builder_version: BUILDER_VERSION,
            program: concat!("calm ", env!("CARGO_PKG_VERSION")),
            seed: manifest.seed,
            languages: languages(tally),
            d_c,
            files,
            corpora: (0..).zip(&manifest.corpora).map(corpus).collect(),
            other_inputs: other_inputs(manifest)?,
            settings: manifest.clone(),
        })
    }

    /// Name of each corpus, records that were read, passed over by the reader, and kept.
    pub fn corpora(&self) -> impl Iterator<Item = (&str, [u64; 3])> {
        self.corpora.iter().map(|corpus| {
            let sum = |count: fn(&Part) -> u64| corpus.languages.iter().map(count).sum();
            let skipped = corpus.skipped.values().sum();
            let counts = [sum(|part| part.read), skipped, sum(|part| part.kept)];
            (corpus.name.as_str(), counts)
        })
    }

    /// Records that each step dropped, of all that dropped some.
    pub fn dropped(&self) -> BTreeMap<&str, u64> {
        let parts = self.corpora.iter().flat_map(|corpus| &corpus.languages);
        dropped(parts.map(|part| &part.steps))
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), DataError> {
        write_manifest(self, &directory.join(MANIFEST))
    }
}

/// The files that steps read.
fn other_inputs(manifest: &CorporaManifest) -> Result<Vec<InputFile>, DataError> {
    let steps = &manifest.steps;
    let benchmarks = steps.decontaminate.on().map(|_| &manifest.benchmarks);
    let benchmarks = benchmarks.into_iter().flatten().map(benchmark_files);
    let mut paths = benchmarks.collect::<Result<Vec<_>, _>>()?.concat();
    paths.extend(
        steps
            .identify
            .as_ref()
            .map(|identify| identify.model.clone()),
    );
    input_files(paths)
}

fn parts(tally: &Tally, corpus: u32) -> Vec<Part> {
    let of_corpus = tally.all().filter(|(index, ..)| *index == corpus);
    let part = |(_, (first, second), counts): (_, Languages, &Counts)| Part {
        languages: std::iter::once(first).chain(second).collect(),
        read: counts.read,
        kept: counts.kept,
        bytes_kept: counts.bytes_kept,
        steps: tally.named_steps(counts),
    };
    of_corpus.map(part).collect()
}

fn languages(tally: &Tally) -> BTreeMap<LanguageTag, LanguageCounts> {
    let mut languages: BTreeMap<LanguageTag, LanguageCounts> = BTreeMap::new();
    for (_, (first, second), counts) in tally.all() {
        for language in std::iter::once(first).chain(second) {
            let sum = languages.entry(language).or_default();
            let (read, kept) = match second {
                Some(_) => (&mut sum.pairs_in, &mut sum.pairs_out),
                None => (&mut sum.texts_in, &mut sum.texts_out),
            };
            *read += counts.read;
            *kept += counts.kept;
        }
    }
    languages
}

/// Checks that something is left of every corpus, and of the pairs of every language.
pub(super) fn check_left(manifest: &CorporaManifest, tally: &Tally) -> Result<(), DataError> {
    let sum = |counts: &[&Counts]| {
        let read: u64 = counts.iter().map(|counts| counts.read).sum();
        let kept: u64 = counts.iter().map(|counts| counts.kept).sum();
        (kept == 0 && read > 0).then_some(read)
    };
    for (index, corpus) in (0..).zip(&manifest.corpora) {
        let all = tally.all().filter(|(corpus, ..)| *corpus == index);
        let counts: Vec<&Counts> = all.map(|(_, _, counts)| counts).collect();
        if let Some(read) = sum(&counts) {
            let causes = tally.causes(counts.into_iter());
            let name = &corpus.name;
            let reason = format!(
                "nothing is left of corpus '{name}', {read} records: {causes}; turn a step off or leave the corpus out"
            );
            return Err(DataError::file(&corpus.files[0], reason));
        }
    }
    let tags = tally
        .all()
        .flat_map(|(_, (first, second), _)| [Some(first), second]);
    let tags: std::collections::BTreeSet<LanguageTag> = tags.flatten().collect();
    for language in tags {
        let pairs = tally.all().filter(|(_, (first, second), _)| {
            second.is_some_and(|second| [*first, second].contains(&language))
        });
        let pairs: Vec<_> = pairs.collect();
        let counts: Vec<&Counts> = pairs.iter().map(|(_, _, counts)| *counts).collect();
        if let Some(read) = sum(&counts) {
            let causes = tally.causes(counts.into_iter());
            let reason = format!(
                "nothing is left of the {read} pairs in {language}: {causes}; turn a step off or leave the language out"
            );
            let corpus = &manifest.corpora[pairs[0].0 as usize];
            return Err(DataError::file(&corpus.files[0], reason));
        }
    }
    Ok(())
}

impl DcCounts {
    /// How many records of each group are wanted, and the counts as they will be. An error is in words.
    pub(super) fn plan(
        config: &DcConfig,
        available: &GroupCounts,
    ) -> Result<(GroupCounts, Self), String> {
        let mut wanted = GroupCounts::new();
        let mut counts = Self::default();
        for language in config.shares.keys() {
            if !available.contains_key(&Group::Language(*language)) {
                return Err(format!(
                    "`d_c` names a share of {language}, of which there is no pair; leave it out, or add \
                     a corpus"
                ));
            }
        }
        for (group, &of) in available {
            if let Group::Language(language) = group {
                let share = config.shares.get(language).copied().unwrap_or(config.share);
                let drawn = ((share * of as f64).round() as u64).clamp(1, of);
                wanted.insert(*group, drawn);
                counts
                    .languages
                    .insert(*language, Drawn { records: drawn, of });
            }
        }
        counts.plan_high_resource(config, available, &mut wanted)?;
        Ok((wanted, counts))
    }

    /// Texts of high-resource languages, as many of each.
    fn plan_high_resource(
        &mut self,
        config: &DcConfig,
        available: &GroupCounts,
        wanted: &mut GroupCounts,
    ) -> Result<(), String> {
        let Some(high) = &config.high_resource else {
            return Ok(());
        };
        let pairs: u64 = self.languages.values().map(|drawn| drawn.records).sum();
        let texts = (high.share / (1.0 - high.share) * pairs as f64).round() as u64;
        let languages = high.languages.len() as u64;
        for (index, language) in (0..).zip(&high.languages) {
            let group = Group::HighResource(*language);
            let of = available.get(&group).copied().unwrap_or(0);
            let records = texts / languages + u64::from(index < texts % languages);
            if of == 0 {
                return Err(format!(
                    "`d_c` names {language} as a high-resource language, of which there is no text; \
                     leave it out, or add a corpus"
                ));
            }
            if of < records {
                return Err(format!(
                    "`d_c` wants {records} texts of {language}, and there are {of}; lower `share` of \
                     `high-resource`, or add a corpus"
                ));
            }
            wanted.insert(group, records);
            self.high_resource.insert(*language, Drawn { records, of });
        }
        Ok(())
    }
}
