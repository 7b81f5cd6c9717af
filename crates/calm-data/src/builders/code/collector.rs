//! What becomes of the files that the steps let through: duplicates go, and rows come out.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::report::{CodeReport, FunctionCounts, Totals};
use super::rows::{FileRow, function_rows};
use crate::DataError;
use crate::builders::shared::{
    Chance, Counted, Inputs, LinesFile, Selection, Store, Stored, Tally, advance, near_duplicates,
    read_origin, read_text, write_origin, write_text,
};
use crate::builders::{BuildObserver, BuildPart};
use crate::cleaning::{ExactDuplicates, Marks, key};
use crate::corpus::{CodeLanguage, CodeManifest, Functions, Judged, Sink, SourceFile, functions};

impl Counted for SourceFile {
    type Kind = CodeLanguage;

    fn kind(&self) -> CodeLanguage {
        self.language
    }

    fn identity(&self) -> impl Iterator<Item = &str> {
        [self.language.name(), &self.text].into_iter()
    }
}

impl Stored for SourceFile {
    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        write_origin(file, self.origin)?;
        let licence = self.licence.as_deref().unwrap_or_default();
        [
            &self.text,
            self.language.name(),
            &self.path,
            &self.tree,
            licence,
            &self.sha256,
        ]
        .iter()
        .try_for_each(|text| write_text(file, text))
    }

    fn read(file: &mut impl Read) -> io::Result<Self> {
        let origin = read_origin(file)?;
        let text = read_text(file)?;
        let language = read_text(file)?.parse().map_err(io::Error::other)?;
        let [path, tree, licence, sha256] = [(); 4].map(|()| read_text(file));
        let licence = licence?;
        Ok(Self {
            text,
            language,
            path: path?,
            tree: tree?.into(),
            licence: (!licence.is_empty()).then(|| licence.into()),
            sha256: sha256?,
            origin,
        })
    }
}

/// Takes the files behind the steps. [`finish`](Self::finish) drops duplicates and writes the rows.
///
/// Files wait in a temporary one, and all that is compared is sorted outside of memory, so that the memory
/// does not grow with the corpus but for a few bits a file.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    manifest: &'a CodeManifest,
    directory: PathBuf,
    /// Bytes that sorting may take.
    memory: usize,
    tally: Tally<CodeLanguage>,
    /// Number of the steps that judge files one by one.
    steps: usize,
    store: Store<SourceFile>,
    exact: Option<ExactDuplicates>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        manifest: &'a CodeManifest,
        steps: &[&str],
        directory: &Path,
        memory: usize,
    ) -> Result<Self, DataError> {
        let later = ["exact-duplicates", "near-duplicates"];
        let names = steps.iter().chain(&later).map(|name| (*name).to_owned());
        let exact = manifest.steps.exact_duplicates;
        Ok(Self {
            manifest,
            directory: directory.to_owned(),
            memory,
            tally: Tally::new(names.collect()),
            steps: steps.len(),
            store: Store::new(directory)?,
            exact: exact.then(|| ExactDuplicates::new(directory, memory)),
        })
    }

    /// Drops duplicates, writes the files, the manifest last, and returns what the manifest says.
    ///
    /// # Errors
    ///
    /// [`DataError::File`] if nothing is left; [`DataError::Interrupted`] if `observer` says so;
    /// [`DataError::Io`]. Nothing is written then.
    pub(super) fn finish(
        mut self,
        inputs: Inputs<'_>,
        observer: &mut dyn BuildObserver,
    ) -> Result<CodeReport, DataError> {
        let mut gone = Marks::default();
        let exact = match self.exact.take() {
            Some(exact) => exact.finish(1, &mut gone)?.remove(0),
            None => Marks::default(),
        };
        let near = match self.manifest.steps.near_duplicates.on() {
            Some(config) => {
                let (store, memory) = (&mut self.store, self.memory);
                let config = (*config).into();
                near_duplicates(store, config, memory, &mut gone, scoped, observer)?
            }
            None => Marks::default(),
        };
        let create = |name| LinesFile::create(&self.directory, name);
        let mut rows = [create("pretrain.jsonl")?, create("functions.jsonl")?];
        let mut d_c = create("d_c.jsonl")?;
        let (selection, functions) = self.write_rows(&mut rows, &exact, &near, observer)?;
        self.write_d_c(&mut d_c, selection)?;
        let files = rows.into_iter().chain([d_c]).map(LinesFile::commit);
        let totals = Totals {
            files: &self.tally,
            functions,
        };
        let files = files.collect::<Result<_, _>>()?;
        let report = CodeReport::new(self.manifest, totals, inputs, files)?;
        report.write(&self.directory)?;
        Ok(report)
    }

    /// Writes all files that stay, and their functions, and gathers what D_C is drawn from.
    fn write_rows(
        &mut self,
        [rows, pairs]: &mut [LinesFile; 2],
        exact: &Marks,
        near: &Marks,
        observer: &mut dyn BuildObserver,
    ) -> Result<
        (
            Selection<CodeLanguage>,
            BTreeMap<CodeLanguage, FunctionCounts>,
        ),
        DataError,
    > {
        let Self {
            manifest,
            tally,
            steps,
            ..
        } = self;
        let chance = Chance {
            seed: manifest.seed,
        };
        let mut selection = Selection::new(&self.directory, self.memory);
        let mut counts: BTreeMap<CodeLanguage, FunctionCounts> = BTreeMap::new();
        let total = self.store.records();
        for chunk in self.store.chunks()? {
            let (first, files) = chunk?;
            advance(observer, BuildPart::Writing, first, total)?;
            let is_kept = |number| !exact.contains(number) && !near.contains(number);
            let found = files.par_iter().enumerate().map(|(index, file)| {
                match is_kept(first + index as u64) {
                    true => functions(&file.text, file.language),
                    false => Functions::default(),
                }
            });
            let found: Vec<Functions> = found.collect();
            for ((number, file), found) in (first..).zip(&files).zip(found) {
                if exact.contains(number) {
                    tally.dropped(*steps, "the same text", file);
                } else if near.contains(number) {
                    tally.dropped(*steps + 1, "like an earlier one", file);
                } else {
                    tally.kept(file);
                    rows.push(&FileRow::new(manifest, file))?;
                    counts.entry(file.language).or_default().add(&found);
                    push_functions(pairs, manifest, file, &found)?;
                    selection.push(file.language, chance.unit("d_c", file), 1.0, number)?;
                }
            }
        }
        counts.retain(|_, counts| *counts != FunctionCounts::default());
        Ok((selection, counts))
    }

    /// Writes the files that are drawn for D_C, each with its functions.
    fn write_d_c(
        &mut self,
        rows: &mut LinesFile,
        selection: Selection<CodeLanguage>,
    ) -> Result<(), DataError> {
        let d_c = &self.manifest.d_c;
        let wanted = selection.counts().into_iter().map(|(language, of)| {
            let drawn = (d_c.share_of(language) * of as f64).round() as u64;
            (language, drawn.clamp(1, of))
        });
        let drawn = selection.draw(&wanted.collect())?;
        for chunk in self.store.chunks()? {
            let (first, files) = chunk?;
            for (_, file) in (first..)
                .zip(&files)
                .filter(|(number, _)| drawn.contains(*number))
            {
                rows.push(&FileRow::new(self.manifest, file))?;
                let found = functions(&file.text, file.language);
                push_functions(rows, self.manifest, file, &found)?;
            }
        }
        Ok(())
    }
}

impl Sink<SourceFile> for Collector<'_> {
    fn take(&mut self, chunk: Vec<Judged<SourceFile>>) -> Result<(), DataError> {
        let is_compared = self.exact.is_some();
        let keys = chunk.par_iter().map(|judged| {
            let (scope, texts) = scoped(&judged.record);
            (is_compared && judged.dropped.is_none()).then(|| key(&scope, texts))
        });
        let keys: Vec<Option<u128>> = keys.collect();
        for (judged, key) in chunk.iter().zip(keys) {
            self.tally.judged(judged);
            if judged.dropped.is_some() {
                continue;
            }
            let number = self.store.push(&judged.record)?;
            if let (Some(exact), Some(key)) = (&mut self.exact, key) {
                exact.push(0, key, number)?;
            }
        }
        Ok(())
    }
}

/// Writes the functions of a file, each both ways.
fn push_functions(
    rows: &mut LinesFile,
    manifest: &CodeManifest,
    file: &SourceFile,
    found: &Functions,
) -> Result<(), DataError> {
    let all = found.functions.iter();
    let mut all = all.flat_map(|function| function_rows(manifest, file, function));
    all.try_for_each(|row| rows.push(&row))
}

/// Code is compared with code of its language.
fn scoped(file: &SourceFile) -> (String, Vec<&str>) {
    (file.language.name().to_owned(), vec![&file.text])
}
