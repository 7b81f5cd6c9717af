//! Readers of the formats of corpora, record by record.

mod bytes;
mod chunks;
mod code;
mod corpora;
mod json;
mod lines;
mod marked;
mod metered;
mod parquet;
mod pieces;
mod rows;
mod sides;
mod source;
mod table;
mod text;
mod tmx;
mod tree;
mod utf16;
mod zstd;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use chunks::Chunk;
pub use code::CodeReader;
pub use corpora::CorporaReader;
pub(crate) use source::{Tap, Text, open_text, plain_files};

use super::Segment;
use crate::DataError;

/// Why a reader passed over a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// It is not UTF-8, and the manifest has such records left out.
    InvalidUtf8,
    /// It is in another language, or lacks one of the two; of files, it is no code that is wanted.
    OtherLanguage,
    /// It is smaller or larger than the manifest has it.
    Size,
    /// It is a link to another file.
    Link,
    /// The system does not let it be read.
    Unreadable,
}

/// A text, and its translation in a parallel corpus.
type Sides = (Segment, Option<Segment>);

/// What a reader found at a place of its file, counted from 1.
struct Found<T = Sides> {
    place: u64,
    content: Result<T, Skip>,
}

/// A file that a corpus was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

impl InputFile {
    /// A file that was read through this tap, to its end.
    fn read(path: &Path, tap: &Tap) -> Result<Self, DataError> {
        let sha256 = tap.clone().sha256().map_err(DataError::io(path))?;
        Ok(Self {
            path: path.to_owned(),
            bytes: tap.taken(),
            sha256,
        })
    }
}

/// A reader of the records of a file, or of two files that belong together.
trait RecordReader<T = Sides>: Send {
    /// The next record, or what is there in its place; `None` at the end.
    fn next(&mut self) -> Result<Option<Found<T>>, DataError>;

    /// Bytes of the files that were read so far.
    fn taken(&self) -> u64;

    /// The files, once all is read.
    fn finish(self: Box<Self>) -> Result<Vec<InputFile>, DataError>;
}
