//! The corpora of a manifest, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::json::JsonReader;
use super::lines::InvalidUtf8;
use super::parquet::ParquetReader;
use super::source::plain_files;
use super::table::TableReader;
use super::text::{MosesReader, TextReader};
use super::tmx::TmxReader;
use super::{Found, InputFile, RecordReader, Sides, Skip};
use crate::DataError;
use crate::corpus::{CorporaManifest, CorpusFormat, CorpusRecord, CorpusSpec, Origin};

/// Most records of a chunk, and bytes of its texts after which it ends.
const RECORDS: usize = 4096;
const BYTES: usize = 4 << 20;

/// Most records of a chunk, those included that are passed over.
const MOST_FOUND: usize = 16 * RECORDS;

/// Some of the records, in their order.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The records.
    pub records: Vec<CorpusRecord>,
    /// Records that the readers passed over: index of the corpus, reason, number.
    pub skipped: BTreeMap<(u32, Skip), u64>,
    /// Bytes of files that were read so far, all chunks before it included.
    pub taken: u64,
}

/// What is at a place.
type Placed = (Origin, Result<Sides, Skip>);

/// Reads the corpora of a manifest, in its order, chunk by chunk: a few megabytes are in memory at a
/// time, whatever their size.
pub struct CorporaReader {
    corpora: Vec<CorpusSpec>,
    invalid: InvalidUtf8,
    /// Paths of each corpus, checked.
    files: Vec<Vec<PathBuf>>,
    /// Index of the corpus that is being read, and of its next file.
    corpus: usize,
    file: usize,
    current: Option<Box<dyn RecordReader>>,
    /// Records of this corpus so far, and those passed over.
    records: u64,
    skipped: u64,
    /// Bytes of the files that are read.
    taken: u64,
    inputs: Vec<Vec<InputFile>>,
    total: u64,
    has_failed: bool,
}

impl std::fmt::Debug for CorporaReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CorporaReader")
            .field("corpus", &self.corpus)
            .field("file", &self.file)
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
        Ok(Self {
            corpora: manifest.corpora.clone(),
            invalid: match manifest.steps.invalid_utf8 {
                true => InvalidUtf8::Skip,
                false => InvalidUtf8::Error,
            },
            inputs: vec![Vec::new(); files.len()],
            files,
            corpus: 0,
            file: 0,
            current: None,
            records: 0,
            skipped: 0,
            taken: 0,
            total,
            has_failed: false,
        })
    }

    /// Bytes of all files, packed as they are.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// The files that were read to their ends so far, by corpus.
    pub fn inputs(&self) -> &[Vec<InputFile>] {
        &self.inputs
    }

    /// The next chunk; none at the end.
    fn next_chunk(&mut self) -> Result<Option<Chunk>, DataError> {
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        for _ in 0..MOST_FOUND {
            if chunk.records.len() == RECORDS || bytes >= BYTES {
                break;
            }
            let Some((origin, found)) = self.next_found()? else {
                break;
            };
            match found {
                Ok((source, target)) => {
                    let record = CorpusRecord {
                        source,
                        target,
                        origin,
                    };
                    bytes += record.bytes();
                    chunk.records.push(record);
                }
                Err(skip) => *chunk.skipped.entry((origin.corpus, skip)).or_default() += 1,
            }
        }
        chunk.taken = self.taken + self.current.as_ref().map_or(0, |reader| reader.taken());
        let is_end = chunk.records.is_empty() && chunk.skipped.is_empty();
        Ok((!is_end).then_some(chunk))
    }

    /// What is at the next place of any corpus, with that place.
    fn next_found(&mut self) -> Result<Option<Placed>, DataError> {
        loop {
            let Some(reader) = &mut self.current else {
                match self.open_next()? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            if let Some(Found { place, sides }) = reader.next()? {
                match sides {
                    Ok(_) => self.records += 1,
                    Err(_) => self.skipped += 1,
                }
                let origin = Origin {
                    corpus: self.corpus as u32,
                    // That of the file after it is what `open_next` has noted.
                    file: (self.file - self.files_at_once()) as u32,
                    place,
                };
                return Ok(Some((origin, sides)));
            }
            if let Some(reader) = self.current.take() {
                let files = reader.finish()?;
                self.taken += files.iter().map(|file| file.bytes).sum::<u64>();
                self.inputs[self.corpus].extend(files);
            }
        }
    }

    /// Opens the next file, of the next corpus if this one is at its end; `false` at the end of all.
    fn open_next(&mut self) -> Result<bool, DataError> {
        while self.corpus < self.corpora.len() {
            let files = &self.files[self.corpus];
            let corpus = &self.corpora[self.corpus];
            if self.file < files.len() {
                let files = &files[self.file..];
                self.current = Some(open(files, corpus, self.invalid)?);
                self.file += self.files_at_once();
                return Ok(true);
            }
            if self.records == 0 {
                return Err(self.empty_corpus());
            }
            self.corpus += 1;
            (self.file, self.records, self.skipped) = (0, 0, 0);
        }
        Ok(false)
    }

    /// Files that belong together.
    fn files_at_once(&self) -> usize {
        match self.corpora[self.corpus].format {
            CorpusFormat::Moses => 2,
            _ => 1,
        }
    }

    fn empty_corpus(&self) -> DataError {
        let corpus = &self.corpora[self.corpus];
        let reason = match self.skipped {
            0 => format!("corpus '{}' is empty: there is no text in it", corpus.name),
            skipped => format!(
                "corpus '{}' comes out empty: its {skipped} records are in other languages than the \
                 manifest's `languages` and `tags`, or not UTF-8",
                corpus.name
            ),
        };
        DataError::file(&self.files[self.corpus][0], reason)
    }
}

impl Iterator for CorporaReader {
    type Item = Result<Chunk, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let chunk = self.next_chunk().transpose();
        self.has_failed = matches!(chunk, Some(Err(_)));
        chunk
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
        (CorpusFormat::Jsonl, ..) => Box::new(JsonReader::open(first, corpus, invalid)?),
        (CorpusFormat::Parquet, ..) => Box::new(ParquetReader::open(first, corpus, invalid)?),
        (CorpusFormat::Moses | CorpusFormat::Text, ..) => {
            let reason = format!(
                "corpus '{}' has not the languages of its format",
                corpus.name
            );
            return Err(DataError::file(first, reason));
        }
    })
}
