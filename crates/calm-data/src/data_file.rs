//! A file of examples, tokenised part by part.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use calm_files::{Hashed, hex, sha256_file};
use rayon::prelude::*;

use crate::DataError;
use crate::cache::{Cache, Keep, Misfits};
use crate::examples::{Examples, InMemory};
use crate::jsonl::{Lines, Record, record};
use crate::tokenize::{Fitted, TokenizedExample, Tokenizing};

/// So much of a file is in memory at a time: as many examples, or as many bytes of them.
const PART_EXAMPLES: usize = 4096;
const PART_BYTES: u64 = 4 << 20;

/// A JSON Lines file of [records](Record), and how to tokenise them.
///
/// Examples are tokenised by all threads of the rayon pool, part by part, and stay in the order of
/// the file. Those that are left out ([`TooLong::Skip`](crate::TooLong::Skip)) have no number.
#[derive(Debug, Clone)]
pub struct DataFile<'a> {
    /// The file.
    pub path: PathBuf,
    /// What its texts become.
    pub tokenizing: Tokenizing<'a>,
    /// What the tokenizer was read from.
    pub tokenizer_json: &'a str,
}

/// What a file came to.
#[derive(Debug)]
pub struct Tokenized {
    /// Its examples.
    pub examples: Examples,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// How many of the examples were cut to fit.
    pub truncated: u64,
    /// How many others were left out since they did not fit.
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

    /// The same through a cache: what the file comes to is kept in `directory`, which is made if
    /// need be, and of which any number of files and processes may make use. A file that is found
    /// there is read instead, without tokenising.
    ///
    /// Only the index of the examples is held in memory; see [`Examples`]. The cache depends on the
    /// bytes of the data, on the tokenizer and on everything else that the ids depend on, so it is
    /// never out of date. One that is damaged is warned of, and built anew.
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
        let cache = Cache::new(directory, &sha256, self.tokenizer_json, &self.tokenizing);
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

    /// Gives all examples to `keep`. Returns the hash of the file that they were read from.
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

    /// Tokenises consecutive records, of which the first has this number.
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

/// The next records of a file; none at its end.
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
