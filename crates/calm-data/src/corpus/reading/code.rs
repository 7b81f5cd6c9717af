//! The source code of a manifest, one source after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use calm_files::sha256;

use super::chunks::{Chunk, Chunks, Corpora};
use super::json::JsonReader;
use super::lines::InvalidUtf8;
use super::parquet::ParquetReader;
use super::rows::RowFields;
use super::sides::names;
use super::source::plain_files;
use super::tree::{TreeReader, Wanted, size, trees};
use super::{InputFile, RecordReader, Skip};
use crate::DataError;
use crate::corpus::code::{of_expression, of_header};
use crate::corpus::{
    CodeLanguage, CodeManifest, Origin, SizeConfig, SourceFile, SourceFormat, SourceSpec,
};

/// Reads the source code of a manifest, in its order, chunk by chunk: a few megabytes are in memory at a
/// time, whatever the sizes of trees and files.
pub struct CodeReader {
    chunks: Chunks<Sources>,
    total: u64,
}

impl std::fmt::Debug for CodeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeReader")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl CodeReader {
    /// Checks that all paths of a manifest are there, and begins with the first.
    ///
    /// # Errors
    ///
    /// [`DataError`] naming a path that is not there, or is something else than its format says.
    pub fn open(manifest: &CodeManifest) -> Result<Self, DataError> {
        let mut paths = Vec::new();
        let mut total = 0;
        for source in &manifest.sources {
            let found = source.paths.iter().map(|path| match source.format {
                SourceFormat::Trees => trees(path),
                SourceFormat::Jsonl | SourceFormat::Parquet => plain_files(path),
            });
            let found = found.collect::<Result<Vec<_>, _>>()?.concat();
            for path in &found {
                total += match source.format {
                    SourceFormat::Trees => size(path),
                    _ => std::fs::metadata(path).map_err(DataError::io(path))?.len(),
                };
            }
            paths.push(found);
        }
        let sources = Sources {
            sources: manifest.sources.clone(),
            size: manifest.steps.size.on().copied(),
            paths,
        };
        Ok(Self {
            chunks: Chunks::new(sources),
            total,
        })
    }

    /// Bytes of all files, packed as they are; of trees those whose names are of a language.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The trees and files that were read to their ends so far, by source.
    pub fn inputs(&self) -> &[Vec<InputFile>] {
        self.chunks.inputs()
    }
}

impl Iterator for CodeReader {
    type Item = Result<Chunk<SourceFile>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next()
    }
}

/// The sources of a manifest.
struct Sources {
    sources: Vec<SourceSpec>,
    size: Option<SizeConfig>,
    /// Paths of each source, checked.
    paths: Vec<Vec<PathBuf>>,
}

impl Corpora for Sources {
    type Content = SourceFile;
    type Record = SourceFile;

    fn files(&self, source: usize) -> Option<&[PathBuf]> {
        self.paths.get(source).map(Vec::as_slice)
    }

    fn open(
        &self,
        source: usize,
        paths: &[PathBuf],
    ) -> Result<Box<dyn RecordReader<SourceFile>>, DataError> {
        let path: &Path = &paths[0];
        let source = &self.sources[source];
        let wanted = Wanted::new(source, self.size);
        let fields = || CodeFields::new(source, wanted.clone());
        Ok(match source.format {
            SourceFormat::Trees => Box::new(TreeReader::open(path, wanted)),
            SourceFormat::Jsonl => Box::new(JsonReader::open(path, fields(), InvalidUtf8::Skip)?),
            SourceFormat::Parquet => {
                Box::new(ParquetReader::open(path, fields(), InvalidUtf8::Skip)?)
            }
        })
    }

    fn record(&self, origin: Origin, mut file: SourceFile) -> SourceFile {
        file.origin = origin;
        file
    }

    fn empty(&self, source: usize, skipped: u64) -> DataError {
        let name = &self.sources[source].name;
        let reason = format!(
            "source '{name}' comes out empty: {skipped} files of it are in no language that is wanted, too \
             large, or not UTF-8"
        );
        DataError::file(&self.paths[source][0], reason)
    }
}

/// The fields of a row that hold a file of source code.
struct CodeFields {
    paths: Vec<Vec<String>>,
    /// Where among these the path, the tree, the licence and the language of a file are.
    path: Option<usize>,
    tree: Option<usize>,
    licence: Option<usize>,
    language: Option<usize>,
    wanted: Wanted,
    /// The language of all rows.
    only: Option<CodeLanguage>,
}

impl CodeFields {
    fn new(source: &SourceSpec, wanted: Wanted) -> Self {
        let fields = &source.fields;
        let mut paths = vec![names(&fields.text)];
        let mut place = |field: &Option<String>| {
            let field = field.as_ref()?;
            paths.push(names(field));
            Some(paths.len() - 1)
        };
        let [path, tree, licence, language] = [
            &fields.path,
            &fields.tree,
            &fields.licence,
            &fields.language,
        ]
        .map(&mut place);
        Self {
            paths,
            path,
            tree,
            licence,
            language,
            wanted,
            only: match source.languages[..] {
                [language] => Some(language),
                _ => None,
            },
        }
    }
}

impl RowFields for CodeFields {
    type Content = SourceFile;

    fn paths(&self) -> &[Vec<String>] {
        &self.paths
    }

    fn list(&self) -> Option<usize> {
        self.licence
    }

    fn content(&self, mut values: Vec<String>) -> Result<SourceFile, Skip> {
        let text = std::mem::take(&mut values[0]);
        let value = |place: Option<usize>| place.map_or("", |place| values[place].as_str());
        let language = match (self.language, self.path) {
            (Some(_), _) => value(self.language).parse().ok(),
            (None, Some(_)) => CodeLanguage::of_path(value(self.path)),
            (None, None) => self.only,
        };
        let language = self.wanted.language(language)?;
        self.wanted.check_size(text.len() as u64)?;
        let licence = of_header(&text).or_else(|| of_expression(value(self.licence)));
        Ok(SourceFile {
            language,
            path: value(self.path).to_owned(),
            tree: value(self.tree).into(),
            licence: licence.map(Arc::from).or_else(|| self.wanted.licence()),
            sha256: sha256(&text),
            text,
            origin: Origin::default(),
        })
    }
}
