//! A file of examples, tokenised part by part.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use calm_files::{Hashed, hex, sha256_file};
use rayon::prelude::*;

use super::cache::{Keep, Misfits, TokenCache};
use super::examples::{Examples, InMemory};
use super::tokenize::{Fitted, TokenizedExample, Tokenizing};
use crate::DataError;
use crate::jsonl::{Lines, Record, record};

/// Part of a file that is in memory at a time: this many examples, or bytes of them.
const PART_EXAMPLES: usize = 4096;
const PART_BYTES: u64 = 4 << 20;

/// A JSON Lines file of [records](Record), and how they are tokenised.
///
/// Examples are tokenised by all threads of the rayon pool, part by part, and stay in the order of
/// the file. Those that are left out ([`TooLong::Skip`](crate::TooLong::Skip)) have no number.
#[derive(Debug, Clone)]
pub struct DataFile<'a> {
    /// The file.
    pub path: PathBuf,
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
        let (sha256, misfits) = self.tokenize(&mut keep, &mut observe)?;
        Ok(Tokenized::new(examples.into(), sha256, misfits))
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
        let sha256 = sha256_file(&self.path)?;
        let cache = TokenCache::new(directory, &sha256, &self.tokenizing);
        let found = cache.open().or_else(|_| {
            cache.open_or_build(|keep| match self.tokenize(keep, &mut observe)? {
                (read, misfits) if read == sha256 => Ok(misfits),
                _ => Err(DataError::Changed {
                    path: self.path.clone(),
                }),
            })
        });
        let (examples, misfits) = found?;
        Ok(Tokenized::new(examples, sha256, misfits))
    }

    /// Gives all examples to `keep`. Returns the hash of the file.
    fn tokenize(
        &self,
        keep: &mut Keep<'_>,
        observe: &mut dyn FnMut(u64),
    ) -> Result<(String, Misfits), DataError> {
        let file = File::open(&self.path).map_err(DataError::io(&self.path))?;
        let mut lines = Lines::new(&self.path, Hashed::new(file));
        let (mut read, mut misfits) = (0, Misfits::default());
        loop {
            let part = next_part(&mut lines)?;
            if part.is_empty() {
                break;
            }
            for fitted in self.fit(&part, read) {
                match fitted? {
                    Fitted::Whole(example) => keep(&example)?,
                    Fitted::Pieces(pieces) => pieces.iter().try_for_each(&mut *keep)?,
                    Fitted::Truncated(example) => {
                        misfits.truncated += 1;
                        keep(&example)?;
                    }
                    Fitted::Skipped => misfits.skipped += 1,
                }
            }
            read += part.len();
            observe(lines.bytes_read());
        }
        if read as u64 == misfits.skipped {
            return Err(self.nothing_left(read));
        }
        Ok((hex(lines.into_inner().sha256()), misfits))
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
        }
    }
}

/// The next records of a file; empty at its end.
fn next_part<R: io::Read>(lines: &mut Lines<R>) -> Result<Vec<Record>, DataError> {
    let (mut part, begin) = (Vec::new(), lines.bytes_read());
    while part.len() < PART_EXAMPLES && lines.bytes_read() - begin < PART_BYTES {
        match lines.next(record)? {
            Some(record) => part.push(record),
            None => break,
        }
    }
    Ok(part)
}
