//! The corpora of a manifest, one after the other.

use std::path::PathBuf;

use super::chunks::{Chunk, Chunks, Corpora};
use super::json::JsonReader;
use super::lines::InvalidUtf8;
use super::parquet::ParquetReader;
use super::sides::SideFields;
use super::source::plain_files;
use super::table::TableReader;
use super::text::{MosesReader, TextReader};
use super::tmx::TmxReader;
use super::{InputFile, RecordReader, Sides};
use crate::DataError;
use crate::corpus::{CorporaManifest, CorpusFormat, CorpusRecord, CorpusSpec, Origin};

/// Reads the corpora of a manifest, in its order, chunk by chunk: a few megabytes are in memory at a
/// time, whatever their size.
pub struct CorporaReader {
    chunks: Chunks<Languages>,
    total: u64,
}

impl std::fmt::Debug for CorporaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CorporaReader")
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl CorporaReader {
    /// Checks that all files of a manifest are there, and begins with the first.
    ///
    /// # Errors
    ///
    /// [`DataError`] naming a file that is not there, or is a directory, a pipe or a device.
    pub fn open(manifest: &CorporaManifest) -> Result<Self, DataError> {
        let mut files = Vec::new();
        let mut total = 0;
        for corpus in &manifest.corpora {
            let found = corpus.files.iter().map(|path| plain_files(path));
            let found: Vec<PathBuf> = found.collect::<Result<Vec<_>, _>>()?.concat();
            if corpus.format == CorpusFormat::Moses && found.len() != 2 {
                let reason = "files of Moses belong together in pairs; name each, without `*`";
                return Err(DataError::file(&corpus.files[0], reason));
            }
            for path in &found {
                total += std::fs::metadata(path).map_err(DataError::io(path))?.len();
            }
            files.push(found);
        }
        let languages = Languages {
            corpora: manifest.corpora.clone(),
            invalid: match manifest.steps.invalid_utf8 {
                true => InvalidUtf8::Skip,
                false => InvalidUtf8::Error,
            },
            files,
        };
        Ok(Self {
            chunks: Chunks::new(languages),
            total,
        })
    }

    /// Bytes of all files, packed as they are.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The files that were read to their ends so far, by corpus.
    pub fn inputs(&self) -> &[Vec<InputFile>] {
        self.chunks.inputs()
    }
}

impl Iterator for CorporaReader {
    type Item = Result<Chunk, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.chunks.next()
    }
}

/// Corpora of languages.
struct Languages {
    corpora: Vec<CorpusSpec>,
    invalid: InvalidUtf8,
    /// Paths of each corpus, checked.
    files: Vec<Vec<PathBuf>>,
}

impl Corpora for Languages {
    type Content = Sides;
    type Record = CorpusRecord;

    fn files(&self, corpus: usize) -> Option<&[PathBuf]> {
        self.files.get(corpus).map(Vec::as_slice)
    }

    fn files_at_once(&self, corpus: usize) -> usize {
        match self.corpora[corpus].format {
            CorpusFormat::Moses => 2,
            _ => 1,
        }
    }

    fn open(&self, corpus: usize, files: &[PathBuf]) -> Result<Box<dyn RecordReader>, DataError> {
        open(files, &self.corpora[corpus], self.invalid)
    }

    fn record(&self, origin: Origin, (source, target): Sides) -> CorpusRecord {
        CorpusRecord {
            source,
            target,
            origin,
        }
    }

    fn empty(&self, corpus: usize, skipped: u64) -> DataError {
        let name = &self.corpora[corpus].name;
        let reason = match skipped {
            0 => format!("corpus '{name}' is empty: there is no text in it"),
            skipped => format!(
                "corpus '{name}' comes out empty: its {skipped} records are in other languages than the \
                 manifest's `languages` and `tags`, or not UTF-8"
            ),
        };
        DataError::file(&self.files[corpus][0], reason)
    }
}

/// A reader of the first of these files, or of the first two if they belong together.
fn open(
    files: &[PathBuf],
    corpus: &CorpusSpec,
    invalid: InvalidUtf8,
) -> Result<Box<dyn RecordReader>, DataError> {
    let first = &files[0];
    Ok(match (corpus.format, &corpus.languages[..], files) {
        (CorpusFormat::Moses, &[source, target], [first, second, ..]) => Box::new(
            MosesReader::open([first, second], [source, target], invalid)?,
        ),
        (CorpusFormat::Text, &[language], _) => {
            Box::new(TextReader::open(first, language, invalid)?)
        }
        (CorpusFormat::Tmx, ..) => Box::new(TmxReader::open(first, corpus, invalid)?),
        (CorpusFormat::Tsv, ..) => Box::new(TableReader::open(first, corpus, invalid)?),
        (CorpusFormat::Jsonl, ..) => {
            Box::new(JsonReader::open(first, SideFields::new(corpus), invalid)?)
        }
        (CorpusFormat::Parquet, ..) => Box::new(ParquetReader::open(
            first,
            SideFields::new(corpus),
            invalid,
        )?),
        (CorpusFormat::Moses | CorpusFormat::Text, ..) => {
            let reason = format!(
                "corpus '{}' has not the languages of its format",
                corpus.name
            );
            return Err(DataError::file(first, reason));
        }
    })
}
