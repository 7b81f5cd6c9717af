//! Files of several corpora, read one after the other in chunks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Found, InputFile, RecordReader, Skip};
use crate::DataError;
use crate::corpus::{CorpusRecord, Origin, Record};

/// Most records of a chunk, and bytes of its texts after which it ends.
const RECORDS: usize = 4096;
const BYTES: usize = 4 << 20;

/// Most records of a chunk, those included that are passed over.
const MOST_FOUND: usize = 16 * RECORDS;

/// Some of the records, in their order.
#[derive(Debug, Clone)]
pub struct Chunk<R = CorpusRecord> {
    /// The records.
    pub records: Vec<R>,
    /// Records that the readers passed over: index of the corpus, reason, number.
    pub skipped: BTreeMap<(u32, Skip), u64>,
    /// Bytes of files that were read so far, all chunks before it included.
    pub taken: u64,
}

/// The corpora that are read.
pub(super) trait Corpora: Send {
    /// What their readers give.
    type Content;
    /// What becomes of it.
    type Record: Record;

    /// Paths of a corpus, of the first without any.
    fn files(&self, corpus: usize) -> Option<&[PathBuf]>;

    /// Files of a corpus that belong together.
    fn files_at_once(&self, _corpus: usize) -> usize {
        1
    }

    /// A reader of the first of these files, or of the first of them that belong together.
    fn open(
        &self,
        corpus: usize,
        files: &[PathBuf],
    ) -> Result<Box<dyn RecordReader<Self::Content>>, DataError>;

    /// The record of what was read.
    fn record(&self, origin: Origin, content: Self::Content) -> Self::Record;

    /// What is wrong with a corpus without records, of which so many were passed over.
    fn empty(&self, corpus: usize, skipped: u64) -> DataError;
}

/// What is at a place.
type Placed<T> = (Origin, Result<T, Skip>);

/// Reads corpora in their order, chunk by chunk: a few megabytes are in memory at a time, whatever their
/// size.
pub(super) struct Chunks<C: Corpora> {
    corpora: C,
    /// Index of the corpus that is being read, and of its next file.
    corpus: usize,
    file: usize,
    current: Option<Box<dyn RecordReader<C::Content>>>,
    /// Records of this corpus so far, and those passed over.
    records: u64,
    skipped: u64,
    /// Bytes of the files that are read.
    taken: u64,
    inputs: Vec<Vec<InputFile>>,
    has_failed: bool,
}

impl<C: Corpora> Chunks<C> {
    /// Nothing is read yet.
    pub(super) fn new(corpora: C) -> Self {
        Self {
            corpora,
            corpus: 0,
            file: 0,
            current: None,
            records: 0,
            skipped: 0,
            taken: 0,
            inputs: Vec::new(),
            has_failed: false,
        }
    }

    /// The files that were read to their ends so far, by corpus.
    pub(super) fn inputs(&self) -> &[Vec<InputFile>] {
        &self.inputs
    }

    /// The next chunk; none at the end.
    fn next_chunk(&mut self) -> Result<Option<Chunk<C::Record>>, DataError> {
        let mut chunk = Chunk {
            records: Vec::new(),
            skipped: BTreeMap::new(),
            taken: 0,
        };
        let mut bytes = 0;
        for _ in 0..MOST_FOUND {
            if chunk.records.len() == RECORDS || bytes >= BYTES {
                break;
            }
            let Some((origin, found)) = self.next_found()? else {
                break;
            };
            match found {
                Ok(content) => {
                    let record = self.corpora.record(origin, content);
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
    fn next_found(&mut self) -> Result<Option<Placed<C::Content>>, DataError> {
        loop {
            let Some(reader) = &mut self.current else {
                match self.open_next()? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            if let Some(Found { place, content }) = reader.next()? {
                match content {
                    Ok(_) => self.records += 1,
                    Err(_) => self.skipped += 1,
                }
                let origin = Origin {
                    corpus: self.corpus as u32,
                    // That of the file after it is what `open_next` has noted.
                    file: (self.file - self.corpora.files_at_once(self.corpus)) as u32,
                    place,
                };
                return Ok(Some((origin, content)));
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
        while let Some(files) = self.corpora.files(self.corpus) {
            if let Some(files) = files.get(self.file..).filter(|files| !files.is_empty()) {
                self.current = Some(self.corpora.open(self.corpus, files)?);
                self.file += self.corpora.files_at_once(self.corpus);
                self.inputs.resize(self.corpus + 1, Vec::new());
                return Ok(true);
            }
            if self.records == 0 {
                return Err(self.corpora.empty(self.corpus, self.skipped));
            }
            self.corpus += 1;
            (self.file, self.records, self.skipped) = (0, 0, 0);
        }
        Ok(false)
    }
}

impl<C: Corpora> Iterator for Chunks<C> {
    type Item = Result<Chunk<C::Record>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        let chunk = self.next_chunk().transpose();
        self.has_failed = matches!(chunk, Some(Err(_)));
        chunk
    }
}
