//! A file of examples, tokenised part by part.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::cache::{Keep, Misfits, TokenCache};
use super::chat::RenderChat;
use super::examples::{Examples, InMemory};
use super::tokenize::{Fitted, TokenizedExample, Tokenizing};
use crate::{ChatTurn, DataError, ExampleForm, ExampleReader, Record};

/// Part of a file that is in memory at a time: this many examples, or bytes of them.
const PART_EXAMPLES: usize = 4096;
const PART_BYTES: u64 = 4 << 20;

/// A data set, as [`ExampleReader`] opens it, and how its [records](Record) are tokenised.
///
/// Examples are tokenised by all threads of the rayon pool, part by part, and stay in the order of
/// the file. Those that are left out ([`TooLong::Skip`](crate::TooLong::Skip)) have no number.
#[derive(Debug, Clone)]
pub struct DataFile<'a> {
    /// The file, or the beginning of the names of several.
    pub path: PathBuf,
    /// How its rows become examples.
    pub form: ExampleForm,
    /// How its texts become examples.
    pub tokenizing: Tokenizing<'a>,
}

/// A tokenised file.
#[derive(Debug)]
pub struct Tokenized {
    /// Its examples.
    pub examples: Examples,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Number of examples that were cut to fit.
    pub truncated: u64,
    /// Number of examples that were left out since they did not fit.
    pub skipped: u64,
    /// The conversations of its examples, where [`RenderChat::is_asked_again`](crate::RenderChat)
    /// holds and there are any.
    pub turns: Vec<Option<ChatTurn>>,
}

/// Outcome of reading a file, besides its examples.
struct Read {
    sha256: String,
    misfits: Misfits,
    turns: Vec<Option<ChatTurn>>,
}

impl DataFile<'_> {
    /// Reads and tokenises the file into memory. `observe` is told how many bytes are done.
    ///
    /// # Errors
    ///
    /// [`DataError`] if the file cannot be read, if a line or an example of it cannot be used, or if
    /// no example is left.
    pub fn read(&self, mut observe: impl FnMut(u64)) -> Result<Tokenized, DataError> {
        let mut examples = InMemory::default();
        let mut keep = |example: &TokenizedExample| {
            examples.push(example);
            Ok(())
        };
        let read = self.tokenize(&mut keep, &mut observe)?;
        let tokenized = Tokenized::new(examples.into(), read.sha256, read.misfits);
        Ok(Tokenized {
            turns: read.turns,
            ..tokenized
        })
    }

    /// Reads the file through a cache in `directory`, which is made if need be. Any number of files
    /// and processes can share it. A file that is found there is not tokenised again.
    ///
    /// Only the index of the examples is held in memory; see [`Examples`]. The key of the cache holds
    /// everything that ids depend on, so it is never out of date. A damaged one is built anew, with
    /// a warning.
    ///
    /// # Errors
    ///
    /// As [`DataFile::read`], and [`DataError::Io`] if the cache cannot be written;
    /// [`DataError::Changed`] if the file was written to meanwhile.
    pub fn read_through(
        &self,
        directory: &Path,
        mut observe: impl FnMut(u64),
    ) -> Result<Tokenized, DataError> {
        if self.tokenizing.chat.is_some_and(RenderChat::is_asked_again) {
            // A cache holds tokens alone.
            return self.read(observe);
        }
        let sha256 = ExampleReader::sha256_of(&self.path)?;
        let cache = TokenCache::new(directory, &sha256, &self.form, &self.tokenizing);
        let found = cache.open().or_else(|_| {
            cache.open_or_build(|keep| match self.tokenize(keep, &mut observe)? {
                read if read.sha256 == sha256 => Ok(read.misfits),
                _ => Err(DataError::Changed {
                    path: self.path.clone(),
                }),
            })
        });
        let (examples, misfits) = found?;
        Ok(Tokenized::new(examples, sha256, misfits))
    }

    /// Gives all examples to `keep`.
    fn tokenize(
        &self,
        keep: &mut Keep<'_>,
        observe: &mut dyn FnMut(u64),
    ) -> Result<Read, DataError> {
        let mut reader = ExampleReader::open(&self.path, &self.form)?;
        let (mut read, mut misfits) = (0, Misfits::default());
        let mut turns = Turns::new(&self.tokenizing);
        loop {
            let part = next_part(&mut reader)?;
            if part.is_empty() {
                break;
            }
            for (record, fitted) in part.iter().zip(self.fit(&part, read)) {
                let kept = match fitted? {
                    Fitted::Whole(example) => vec![example],
                    Fitted::Pieces(pieces) => pieces,
                    Fitted::Truncated(example) => {
                        misfits.truncated += 1;
                        vec![example]
                    }
                    Fitted::Skipped => {
                        misfits.skipped += 1;
                        Vec::new()
                    }
                };
                turns.push(record, kept.len());
                kept.iter().try_for_each(&mut *keep)?;
            }
            read += part.len();
            observe(reader.bytes_read());
        }
        if read as u64 == misfits.skipped {
            return Err(self.nothing_left(read));
        }
        Ok(Read {
            sha256: reader.sha256(),
            misfits,
            turns: turns.found(),
        })
    }

    /// Tokenises consecutive records; the first has this number.
    fn fit(&self, part: &[Record], first: usize) -> Vec<Result<Fitted, DataError>> {
        let numbered = part.par_iter().enumerate();
        let fitted = numbered.map(|(offset, record)| {
            let fitted = self.tokenizing.example(first + offset, record);
            fitted.map_err(|source| DataError::Example {
                path: self.path.clone(),
                source: Box::new(source),
            })
        });
        fitted.collect()
    }

    fn nothing_left(&self, examples: usize) -> DataError {
        let (path, context) = (self.path.clone(), self.tokenizing.context);
        match examples {
            0 => DataError::Empty { path },
            _ => DataError::AllTooLong {
                path,
                examples,
                context,
            },
        }
    }
}

impl Tokenized {
    fn new(examples: Examples, sha256: String, misfits: Misfits) -> Self {
        Self {
            examples,
            sha256,
            truncated: misfits.truncated,
            skipped: misfits.skipped,
            turns: Vec::new(),
        }
    }
}

/// The conversations of examples, if they are asked for.
struct Turns {
    are_asked: bool,
    of: Vec<Option<ChatTurn>>,
}

impl Turns {
    fn new(tokenizing: &Tokenizing<'_>) -> Self {
        Self {
            are_asked: tokenizing.chat.is_some_and(RenderChat::is_asked_again),
            of: Vec::new(),
        }
    }

    /// `examples`: number of those that the record became.
    fn push(&mut self, record: &Record, examples: usize) {
        if self.are_asked {
            let turn = match record {
                Record::Chat(turn) => Some(turn.clone()),
                _ => None,
            };
            self.of.extend(std::iter::repeat_n(turn, examples));
        }
    }

    /// One for each example; nothing if none is a conversation.
    fn found(self) -> Vec<Option<ChatTurn>> {
        match self.of.iter().any(Option::is_some) {
            true => self.of,
            false => Vec::new(),
        }
    }
}

/// The next records of a file; empty at its end.
fn next_part(reader: &mut ExampleReader) -> Result<Vec<Record>, DataError> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    while part.len() < PART_EXAMPLES && bytes < PART_BYTES {
        match reader.next_row()? {
            Some(records) => {
                bytes += records.iter().map(Record::bytes).sum::<u64>();
                part.extend(records);
            }
            None => break,
        }
    }
    Ok(part)
}
