//! Tokenised examples in a file.
//!
//! ```text
//! bytes           what
//! 8               CALMTOKS
//! 4               version of this layout
//! 32              key: SHA-256 of all that the ids depend on, which also names the file
//! 4 × numbers     one example after the other: its ids, and behind them two numbers for each word of
//!                 its prompt, where words are asked for
//! 8 × examples    how many numbers there are up to the end of each example
//! 4 × examples    where in each example the target begins
//! 4 × examples    how many words each example has
//! 32              counts: numbers, examples, how many were truncated, how many were skipped
//! 32              SHA-256 of everything before it
//! ```
//!
//! Numbers are little-endian. The file is written from its beginning to its end, so examples need not
//! be in memory together, and it appears under its name only when it is whole.
//!
//! Examples are read at their place rather than mapped into memory. The system keeps the pages of the
//! file in both cases; but a mapping is unsafe, since it ends the process if somebody cuts the file
//! short, where reading returns an error; and a row is read in about a microsecond, which no training
//! step notices.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use calm_files::{AtomicFile, Digest, Hashed, Lock, Sha256, hex, sha256};
use serde_json::json;

use super::examples::{Examples, Index};
use crate::{DataError, ExampleForm, TokenizedExample, Tokenizing};

const MAGIC: [u8; 8] = *b"CALMTOKS";
const VERSION: u32 = 2;
const HEADER_BYTES: u64 = 8 + 4 + 32;
const COUNTS_BYTES: u64 = 4 * 8;
const CHECKSUM_BYTES: u64 = 32;

/// Numbers of examples that did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Misfits {
    pub(crate) truncated: u64,
    pub(crate) skipped: u64,
}

/// Receiver of examples, one after the other.
pub(crate) type Keep<'a> = dyn FnMut(&TokenizedExample) -> Result<(), DataError> + 'a;

/// A file of tokenised examples.
#[derive(Debug)]
pub(crate) struct TokenCache {
    path: PathBuf,
    key: [u8; 32],
}

impl TokenCache {
    /// The cache of a data file with this hash, tokenised like this.
    pub(crate) fn new(
        directory: &Path,
        data_sha256: &str,
        form: &ExampleForm,
        tokenizing: &Tokenizing<'_>,
    ) -> Self {
        let mut key = json!({
            "layout": VERSION,
            // Another release may bring another version of the tokenizer library.
            "release": env!("CARGO_PKG_VERSION"),
            "data": data_sha256,
            "tokenizer": sha256(tokenizing.tokenizer.json()),
            "end_of_text": tokenizing.end_of_text,
            "context": tokenizing.context,
            "too_long": tokenizing.too_long,
        });
        if tokenizing.cut_texts {
            key["cut_texts"] = true.into();
        }
        if !form.is_usual() {
            key["form"] = format!("{form:?}").into();
        }
        if tokenizing.finds_words {
            key["words"] = true.into();
        }
        if let Some(chat) = tokenizing.chat {
            key["chat"] = chat.key().into();
        }
        let key: [u8; 32] = Sha256::digest(key.to_string()).into();
        let path = directory.join(format!("{}.tokens", hex(key)));
        Self { path, key }
    }

    /// Opens the file. The error is the damage, or `None` if there is no file.
    pub(crate) fn open(&self) -> Result<(Examples, Misfits), Option<String>> {
        self.read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => None,
            _ => Some(error.to_string()),
        })
    }

    /// Opens the file, or else builds it, while no other process does.
    pub(crate) fn open_or_build(
        &self,
        build: impl FnOnce(&mut Keep<'_>) -> Result<Misfits, DataError>,
    ) -> Result<(Examples, Misfits), DataError> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let _lock = Lock::acquire(directory)?;
        clear(directory).map_err(DataError::io(directory))?;
        match self.open() {
            Ok(found) => return Ok(found),
            Err(None) => {}
            Err(Some(reason)) => {
                let path = self.path.display();
                tracing::warn!("{path}: {reason}; the data is tokenised anew");
            }
        }
        let io = DataError::io(&self.path);
        let file = AtomicFile::create(&self.path)?;
        let mut writer = Writer::new(file, self.key).map_err(&io)?;
        let misfits = build(&mut |example| writer.push(example).map_err(&io))?;
        writer.finish(misfits).map_err(&io)?.commit()?;
        self.read().map_err(io)
    }

    fn read(&self) -> io::Result<(Examples, Misfits)> {
        let mut file = File::open(&self.path)?;
        let size = file.metadata()?.len();
        let Some(sealed) = size.checked_sub(CHECKSUM_BYTES) else {
            return Err(damaged("is cut short"));
        };
        let [numbers, examples, truncated, skipped] = counts(&mut file, sealed)?;
        let expected = || {
            let bytes = numbers.checked_mul(4)?;
            let index = examples.checked_mul(16)?;
            bytes
                .checked_add(index)?
                .checked_add(HEADER_BYTES + COUNTS_BYTES)
        };
        if expected() != Some(sealed) {
            return Err(damaged("has not the size that it should have"));
        }
        let mut reader = BufReader::with_capacity(1 << 20, Hashed::new(file.take(sealed)));
        if read_array(&mut reader)? != MAGIC
            || read_array(&mut reader)? != VERSION.to_le_bytes()
            || read_array(&mut reader)? != self.key
        {
            return Err(damaged("is not what its name says"));
        }
        io::copy(&mut reader.by_ref().take(numbers * 4), &mut io::sink())?;
        let index = read_index(&mut reader, examples as usize)?;
        io::copy(&mut reader, &mut io::sink())?;
        let hashed = reader.into_inner();
        let sum = hashed.sha256();
        let mut file = hashed.into_inner().into_inner();
        if read_array(&mut file)? != sum {
            return Err(damaged(
                "is damaged: its SHA-256 is not the one it was written with",
            ));
        }
        if index.numbers() != numbers || !index.is_sound() {
            return Err(damaged("has examples that cannot be"));
        }
        let examples = Examples::stored(index, file, self.path.clone(), HEADER_BYTES);
        Ok((examples, Misfits { truncated, skipped }))
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Reads the four counts before the checksum, and goes back to the beginning.
fn counts(file: &mut File, sealed: u64) -> io::Result<[u64; 4]> {
    let Some(begin) = sealed.checked_sub(COUNTS_BYTES) else {
        return Err(damaged("is cut short"));
    };
    file.seek(SeekFrom::Start(begin))?;
    let mut counts = [0; 4];
    for count in &mut counts {
        *count = u64::from_le_bytes(read_array(file)?);
    }
    file.rewind()?;
    Ok(counts)
}

fn read_index(reader: &mut impl Read, examples: usize) -> io::Result<Index> {
    let mut index = Index::default();
    index.ends.reserve_exact(examples);
    index.target_starts.reserve_exact(examples);
    for _ in 0..examples {
        index.ends.push(u64::from_le_bytes(read_array(reader)?));
    }
    for _ in 0..examples {
        let target_start = u32::from_le_bytes(read_array(reader)?);
        index.target_starts.push(target_start);
    }
    for number in 0..examples {
        index.set_words(number, u32::from_le_bytes(read_array(reader)?));
    }
    Ok(index)
}

fn read_array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Removes what killed processes have left half-written in a directory that this one has locked.
fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".tokens.") && name.ends_with(".tmp") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

struct Writer {
    file: Hashed<AtomicFile>,
    index: Index,
}

impl Writer {
    fn new(file: AtomicFile, key: [u8; 32]) -> io::Result<Self> {
        let mut file = Hashed::new(file);
        file.write_all(&MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&key)?;
        let index = Index::default();
        Ok(Self { file, index })
    }

    fn push(&mut self, example: &TokenizedExample) -> io::Result<()> {
        let numbers = self.index.push(example).into_iter();
        let numbers: Vec<[u8; 4]> = numbers.map(u32::to_le_bytes).collect();
        self.file.write_all(numbers.as_flattened())
    }

    fn finish(mut self, misfits: Misfits) -> io::Result<AtomicFile> {
        for end in &self.index.ends {
            self.file.write_all(&end.to_le_bytes())?;
        }
        for target_start in &self.index.target_starts {
            self.file.write_all(&target_start.to_le_bytes())?;
        }
        for number in 0..self.index.ends.len() {
            let words = self.index.words_of(number) as u32;
            self.file.write_all(&words.to_le_bytes())?;
        }
        let examples = self.index.ends.len() as u64;
        let Misfits { truncated, skipped } = misfits;
        for count in [self.index.numbers(), examples, truncated, skipped] {
            self.file.write_all(&count.to_le_bytes())?;
        }
        let sum = self.file.sha256();
        self.file.write_all(&sum)?;
        Ok(self.file.into_inner())
    }
}
