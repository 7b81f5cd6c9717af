//! Records between the passes over them, in a temporary file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::corpus::{CorpusRecord, LanguageTag, Origin, Record, Segment};

/// Bytes of texts that are in memory at a time, and most records.
const CHUNK: usize = 4 << 20;
const MOST_RECORDS: usize = 1 << 14;

/// A record that can be written to a file and read again.
pub(in crate::builders) trait Stored: Record {
    fn write(&self, file: &mut impl Write) -> io::Result<()>;
    fn read(file: &mut impl Read) -> io::Result<Self>;
}

/// Records in the order in which they were added, numbered from 0. The file has no name where the
/// system allows that.
#[derive(Debug)]
pub(in crate::builders) struct Store<R> {
    directory: PathBuf,
    file: BufWriter<File>,
    len: u64,
    records: PhantomData<R>,
}

impl<R: Stored> Store<R> {
    pub(in crate::builders) fn new(directory: &Path) -> Result<Self, DataError> {
        let file = tempfile::tempfile_in(directory).map_err(DataError::io(directory))?;
        Ok(Self {
            directory: directory.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            len: 0,
            records: PhantomData,
        })
    }

    /// Adds a record and returns its number.
    pub(in crate::builders) fn push(&mut self, record: &R) -> Result<u64, DataError> {
        record
            .write(&mut self.file)
            .map_err(DataError::io(&self.directory))?;
        self.len += 1;
        Ok(self.len - 1)
    }

    /// Where its file is.
    pub(in crate::builders) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Number of all records.
    pub(in crate::builders) fn records(&self) -> u64 {
        self.len
    }

    /// All records in their order, with the number of the first of each chunk.
    pub(in crate::builders) fn chunks(&mut self) -> Result<Chunks<'_, R>, DataError> {
        let rewound = self
            .file
            .flush()
            .and_then(|()| self.file.get_mut().rewind());
        rewound.map_err(DataError::io(&self.directory))?;
        Ok(Chunks {
            directory: &self.directory,
            file: BufReader::with_capacity(1 << 18, self.file.get_mut()),
            next: 0,
            len: self.len,
            records: PhantomData,
        })
    }
}

/// The records of a [`Store`], an iterator.
pub(in crate::builders) struct Chunks<'a, R> {
    directory: &'a Path,
    file: BufReader<&'a mut File>,
    next: u64,
    len: u64,
    records: PhantomData<R>,
}

impl<R: Stored> Iterator for Chunks<'_, R> {
    type Item = Result<(u64, Vec<R>), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.len {
            return None;
        }
        let (first, mut bytes) = (self.next, 0);
        let mut records = Vec::new();
        while self.next < self.len && bytes < CHUNK && records.len() < MOST_RECORDS {
            match R::read(&mut self.file) {
                Ok(record) => {
                    bytes += record.bytes();
                    records.push(record);
                }
                Err(error) => {
                    self.len = self.next;
                    return Some(Err(DataError::io(self.directory)(error)));
                }
            }
            self.next += 1;
        }
        Some(Ok((first, records)))
    }
}

/// A text with its length before it.
pub(in crate::builders) fn write_text(file: &mut impl Write, text: &str) -> io::Result<()> {
    file.write_all(&(text.len() as u64).to_le_bytes())?;
    file.write_all(text.as_bytes())
}

/// A text that [`write_text`] wrote.
pub(in crate::builders) fn read_text(file: &mut impl Read) -> io::Result<String> {
    let length = u64::from_le_bytes(array(file)?);
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

/// A place of a corpus.
pub(in crate::builders) fn write_origin(file: &mut impl Write, origin: Origin) -> io::Result<()> {
    file.write_all(&origin.corpus.to_le_bytes())?;
    file.write_all(&origin.file.to_le_bytes())?;
    file.write_all(&origin.place.to_le_bytes())
}

/// A place that [`write_origin`] wrote.
pub(in crate::builders) fn read_origin(file: &mut impl Read) -> io::Result<Origin> {
    Ok(Origin {
        corpus: u32::from_le_bytes(array(file)?),
        file: u32::from_le_bytes(array(file)?),
        place: u64::from_le_bytes(array(file)?),
    })
}

fn array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Stored for CorpusRecord {
    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        write_origin(file, self.origin)?;
        file.write_all(&[u8::from(self.target.is_some())])?;
        self.sides().try_for_each(|side| {
            write_text(file, side.language.as_str())?;
            write_text(file, &side.text)
        })
    }

    fn read(file: &mut impl Read) -> io::Result<Self> {
        let origin = read_origin(file)?;
        let [has_target] = array(file)?;
        let source = segment(file)?;
        let target = match has_target {
            0 => None,
            _ => Some(segment(file)?),
        };
        Ok(Self {
            source,
            target,
            origin,
        })
    }
}

fn segment(file: &mut impl Read) -> io::Result<Segment> {
    let language: LanguageTag = read_text(file)?.parse().map_err(io::Error::other)?;
    let text = read_text(file)?;
    Ok(Segment { language, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_their_order_as_often_as_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::new(directory.path()).unwrap();
        let segment = |language: &str, text: String| Segment {
            language: language.parse().unwrap(),
            text,
        };
        let record = |number: u64| CorpusRecord {
            source: segment("npi_Deva", "ने".repeat(number as usize % 700)),
            target: (!number.is_multiple_of(3)).then(|| segment("eng_Latn", format!("{number}\n"))),
            origin: Origin {
                corpus: 1,
                file: number as u32,
                place: number << 40,
            },
        };
        let records: Vec<_> = (0..20_000).map(record).collect();
        for (number, record) in (0..).zip(&records) {
            assert_eq!(store.push(record).unwrap(), number);
        }
        for _ in 0..2 {
            let mut all = Vec::new();
            for chunk in store.chunks().unwrap() {
                let (first, records) = chunk.unwrap();
                assert_eq!(first, all.len() as u64);
                assert!(records.len() < 20_000);
                all.extend(records);
            }
            assert_eq!(all, records);
        }
    }
}
