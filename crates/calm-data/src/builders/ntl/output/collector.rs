//! What becomes of the records that the steps let through: duplicates go, and rows come out.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::TextRow;
use super::few_shot::{PairDocuments, Shots, translations};
use super::groups::{Group, group_of, language_of};
use super::report::{self, DcCounts, Report};
use crate::DataError;
use crate::builders::shared::{
    Chance, Counted, Inputs, LinesFile, Selection, Store, Tally, advance, near_duplicates,
};
use crate::builders::{BuildObserver, BuildPart};
use crate::cleaning::{ExactDuplicates, Marks, Words, key};
use crate::corpus::{CorporaManifest, CorpusRecord, CorpusSpec, Judged, Sink};

/// Rounds of exact duplicates, by what is the same.
const ROUNDS: [&str; 3] = [
    "the same text",
    "the same first side",
    "the same second side",
];

/// Takes the records behind the steps. [`finish`](Self::finish) drops duplicates and writes the files.
///
/// Records wait in a temporary file, and all that is compared is sorted outside of memory, so that the
/// memory does not grow with the corpora but for a few bits a record.
#[derive(Debug)]
pub struct Collector<'a> {
    manifest: &'a CorporaManifest,
    directory: PathBuf,
    /// Bytes that sorting may take.
    memory: usize,
    tally: Tally<<CorpusRecord as Counted>::Kind>,
    /// Number of the steps that judge records one by one.
    steps: usize,
    store: Store<CorpusRecord>,
    exact: Option<ExactDuplicates>,
}

impl<'a> Collector<'a> {
    /// Nothing is taken yet. `steps` are the names of the steps that judge records one by one; files
    /// are written to `directory`; sorting takes about `memory` bytes.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] if a setting is out of its range, [`DataError::Io`] if no file can be
    /// made.
    pub fn new(
        manifest: &'a CorporaManifest,
        steps: &[&str],
        directory: &Path,
        memory: usize,
    ) -> Result<Self, DataError> {
        manifest.steps.validate()?;
        manifest.d_c.validate()?;
        let later = ["exact-duplicates", "near-duplicates", "weight"];
        let names = steps.iter().chain(&later).map(|name| (*name).to_owned());
        let exact = manifest.steps.exact_duplicates.on();
        Ok(Self {
            manifest,
            directory: directory.to_owned(),
            memory,
            tally: Tally::new(names.collect()),
            steps: steps.len(),
            store: Store::new(directory)?,
            exact: exact.map(|_| ExactDuplicates::new(directory, memory)),
        })
    }

    /// Drops duplicates, writes the files, the manifest last, and returns what the manifest says.
    ///
    /// # Errors
    ///
    /// [`DataError::File`] if nothing is left of a corpus or of a language, or D_C asks for text that
    /// there is not; [`DataError::Interrupted`] if `observer` says so; [`DataError::Io`]. Nothing is
    /// written then.
    pub fn finish(
        mut self,
        inputs: Inputs<'_>,
        observer: &mut dyn BuildObserver,
    ) -> Result<Report, DataError> {
        let (exact, mut gone) = self.exact_duplicates()?;
        let near = self.near_duplicates(&mut gone, observer)?;
        let mut files = Files::create(&self.directory)?;
        let selection = self.write_rows(&mut files, &exact, &near, observer)?;
        report::check_left(self.manifest, &self.tally)?;
        let d_c = self.write_d_c(&mut files, selection, inputs.manifest)?;
        let written = files
            .into_iter()
            .map(LinesFile::commit)
            .collect::<Result<_, _>>()?;
        let report = Report::new(self.manifest, &self.tally, inputs, d_c, written)?;
        report.write(&self.directory)?;
        Ok(report)
    }

    fn exact_duplicates(&mut self) -> Result<(Vec<Marks>, Marks), DataError> {
        let mut gone = Marks::default();
        let found = match self.exact.take() {
            Some(exact) => exact.finish(ROUNDS.len() as u8, &mut gone)?,
            None => vec![Marks::default(); ROUNDS.len()],
        };
        Ok((found, gone))
    }

    fn near_duplicates(
        &mut self,
        gone: &mut Marks,
        observer: &mut dyn BuildObserver,
    ) -> Result<Marks, DataError> {
        let Some(config) = self.manifest.steps.near_duplicates.on() else {
            return Ok(Marks::default());
        };
        let (store, memory) = (&mut self.store, self.memory);
        near_duplicates(store, *config, memory, gone, by_language, observer)
    }

    /// Writes texts and translations of all records that stay, and gathers what D_C is drawn from.
    fn write_rows(
        &mut self,
        files: &mut Files,
        exact: &[Marks],
        near: &Marks,
        observer: &mut dyn BuildObserver,
    ) -> Result<Selection<Group>, DataError> {
        let Self {
            manifest,
            tally,
            steps,
            ..
        } = self;
        let mut rows = Rows::new(manifest, files);
        let mut selection = Selection::new(&self.directory, self.memory);
        let total = self.store.records();
        for chunk in self.store.chunks()? {
            let (first, records) = chunk?;
            advance(observer, BuildPart::Writing, first, total)?;
            for (number, record) in (first..).zip(&records) {
                let round = exact.iter().position(|round| round.contains(number));
                if let Some(round) = round {
                    tally.dropped(*steps, ROUNDS[round], record);
                } else if near.contains(number) {
                    tally.dropped(*steps + 1, "like an earlier one", record);
                } else {
                    let corpus = corpus_of(manifest, record);
                    let copies = rows.chance.copies(corpus.weight, record);
                    if copies == 0 {
                        tally.dropped(*steps + 2, "left out by the corpus's weight", record);
                        continue;
                    }
                    tally.kept(record);
                    rows.write(record, copies)?;
                    if let Some(group) = group_of(manifest, record) {
                        let unit = rows.chance.unit("d_c", record);
                        selection.push(group, unit, corpus.weight.max(1.0), number)?;
                    }
                }
            }
        }
        rows.finish()?;
        Ok(selection)
    }

    /// Writes D_C: the drawn pairs, with worked examples that are drawn pairs, too, and text of
    /// high-resource languages.
    fn write_d_c(
        &mut self,
        files: &mut Files,
        selection: Selection<Group>,
        path: &Path,
    ) -> Result<DcCounts, DataError> {
        let manifest = self.manifest;
        let (wanted, mut counts) = DcCounts::plan(&manifest.d_c, &selection.counts())
            .map_err(|reason| DataError::file(path, reason))?;
        let drawn = selection.draw(&wanted)?;
        let chance = Chance {
            seed: manifest.seed,
        };
        let mut shots = Shots::new(manifest.output.shots);
        for chunk in self.store.chunks()? {
            let (first, records) = chunk?;
            for (_, record) in (first..).zip(&records).filter(|(n, _)| drawn.contains(*n)) {
                let corpus = corpus_of(manifest, record);
                let is_high = matches!(group_of(manifest, record), Some(Group::HighResource(_)));
                if record.target.is_none() {
                    files.d_c.push(&TextRow::of(record, corpus))?;
                    continue;
                }
                let mut pairs: Vec<_> = translations(record, corpus.direction).collect();
                if is_high {
                    // One row for a text.
                    let index = chance.up_to(pairs.len() - 1, "d_c direction", record);
                    pairs = vec![pairs[index]];
                }
                let most = chance.up_to(manifest.output.shots, "d_c shots", record);
                let language = language_of(manifest, record);
                for pair in &pairs {
                    files
                        .d_c
                        .push(&shots.row(*pair, most, language, &corpus.name))?;
                }
                pairs.into_iter().for_each(|pair| shots.see(pair));
            }
        }
        counts.rows = files.d_c.rows();
        Ok(counts)
    }
}

impl Sink for Collector<'_> {
    fn take(&mut self, chunk: Vec<Judged>) -> Result<(), DataError> {
        let config = self.manifest.steps.exact_duplicates.on();
        let keys: Vec<_> = chunk
            .par_iter()
            .map(|judged| match (config, &judged.dropped) {
                (Some(config), None) => keys(&judged.record, config.normalised),
                _ => Vec::new(),
            })
            .collect();
        for (judged, keys) in chunk.iter().zip(keys) {
            self.tally.judged(judged);
            if judged.dropped.is_some() {
                continue;
            }
            let number = self.store.push(&judged.record)?;
            if let (Some(exact), Some(config)) = (&mut self.exact, config) {
                let rounds = if config.either_side { keys.len() } else { 1 };
                for (round, key) in (0..).zip(&keys[..rounds]) {
                    exact.push(round, *key, number)?;
                }
            }
        }
        Ok(())
    }
}

/// The texts of a record in the order of their languages, and the scope in which they are compared.
/// A pair is the same from either side.
fn by_language(record: &CorpusRecord) -> (String, Vec<&str>) {
    let mut sides: Vec<_> = record.sides().collect();
    sides.sort_by_key(|side| side.language);
    let languages: Vec<&str> = sides.iter().map(|side| side.language.as_str()).collect();
    (
        languages.join(" "),
        sides.iter().map(|side| side.text.as_str()).collect(),
    )
}

/// Keys of a record as a whole, and of each side of a pair.
fn keys(record: &CorpusRecord, is_normalised: bool) -> Vec<u128> {
    let (scope, texts) = by_language(record);
    let words: Vec<Words>;
    let texts: Vec<&str> = match is_normalised {
        true => {
            words = texts.into_iter().map(Words::of).collect();
            words.iter().map(Words::text).collect()
        }
        false => texts,
    };
    let mut keys = vec![key(&scope, texts.iter().copied())];
    if texts.len() > 1 {
        keys.extend(texts.iter().map(|text| key(&scope, [*text])));
    }
    keys
}

/// The corpus that a record is from.
fn corpus_of<'a>(manifest: &'a CorporaManifest, record: &CorpusRecord) -> &'a CorpusSpec {
    &manifest.corpora[record.origin.corpus as usize]
}

/// The files that come out.
#[derive(Debug)]
struct Files {
    pretrain: LinesFile,
    translation: LinesFile,
    d_c: LinesFile,
}

impl Files {
    fn create(directory: &Path) -> Result<Self, DataError> {
        Ok(Self {
            pretrain: LinesFile::create(directory, "pretrain.jsonl")?,
            translation: LinesFile::create(directory, "translation.jsonl")?,
            d_c: LinesFile::create(directory, "d_c.jsonl")?,
        })
    }

    fn into_iter(self) -> impl Iterator<Item = LinesFile> {
        [self.pretrain, self.translation, self.d_c].into_iter()
    }
}

/// Writes the rows of records.
struct Rows<'a> {
    manifest: &'a CorporaManifest,
    files: &'a mut Files,
    chance: Chance,
    shots: Shots,
    /// Documents of the first copy of each pair, the second, and so on.
    documents: Vec<PairDocuments>,
}

impl<'a> Rows<'a> {
    fn new(manifest: &'a CorporaManifest, files: &'a mut Files) -> Self {
        Self {
            manifest,
            files,
            chance: Chance {
                seed: manifest.seed,
            },
            shots: Shots::new(manifest.output.shots),
            documents: Vec::new(),
        }
    }

    fn write(&mut self, record: &CorpusRecord, copies: usize) -> Result<(), DataError> {
        let corpus = corpus_of(self.manifest, record);
        let language = language_of(self.manifest, record);
        for copy in 0..copies {
            if record.target.is_none() {
                self.files.pretrain.push(&TextRow::of(record, corpus))?;
                continue;
            }
            let purpose = format!("shots {copy}");
            let most = self
                .chance
                .up_to(self.manifest.output.shots, &purpose, record);
            let size = self.manifest.output.pairs_per_document;
            if self.documents.len() == copy {
                self.documents.push(PairDocuments::new(size));
            }
            for pair in translations(record, corpus.direction) {
                let row = self.shots.row(pair, most, language, &corpus.name);
                self.files.translation.push(&row)?;
                let name = (record.origin.corpus, corpus.name.as_str());
                if let Some(document) = self.documents[copy].push(name, pair, language) {
                    self.files.pretrain.push(&document)?;
                }
            }
        }
        translations(record, corpus.direction).for_each(|pair| self.shots.see(pair));
        Ok(())
    }

    fn finish(self) -> Result<(), DataError> {
        let rest = self.documents.into_iter().flat_map(PairDocuments::rest);
        rest.into_iter()
            .try_for_each(|document| self.files.pretrain.push(&document))
    }
}
