//! Records between the passes over them, in a temporary file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::corpus::{CorpusRecord, LanguageTag, Origin, Segment};

/// Bytes of texts that are in memory at a time, and most records.
const CHUNK: usize = 4 << 20;
const MOST_RECORDS: usize = 1 << 14;

/// Records in the order in which they were added, numbered from 0. The file has no name where the
/// system allows that.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    file: BufWriter<File>,
    len: u64,
}

impl Store {
    pub(super) fn new(directory: &Path) -> Result<Self, DataError> {
        let file = tempfile::tempfile_in(directory).map_err(DataError::io(directory))?;
        Ok(Self {
            directory: directory.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            len: 0,
        })
    }

    /// Adds a record and returns its number.
    pub(super) fn push(&mut self, record: &CorpusRecord) -> Result<u64, DataError> {
        write(&mut self.file, record).map_err(DataError::io(&self.directory))?;
        self.len += 1;
        Ok(self.len - 1)
    }

    /// Number of all records.
    pub(super) fn records(&self) -> u64 {
        self.len
    }

    /// All records in their order, with the number of the first of each chunk.
    pub(super) fn chunks(&mut self) -> Result<Chunks<'_>, DataError> {
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
        })
    }
}

/// The records of a [`Store`], an iterator.
pub(super) struct Chunks<'a> {
    directory: &'a Path,
    file: BufReader<&'a mut File>,
    next: u64,
    len: u64,
}

impl Iterator for Chunks<'_> {
    type Item = Result<(u64, Vec<CorpusRecord>), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.len {
            return None;
        }
        let (first, mut bytes) = (self.next, 0);
        let mut records = Vec::new();
        while self.next < self.len && bytes < CHUNK && records.len() < MOST_RECORDS {
            match read(&mut self.file) {
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

fn write(file: &mut impl Write, record: &CorpusRecord) -> io::Result<()> {
    let Origin {
        corpus,
        file: part,
        place,
    } = record.origin;
    file.write_all(&corpus.to_le_bytes())?;
    file.write_all(&part.to_le_bytes())?;
    file.write_all(&place.to_le_bytes())?;
    file.write_all(&[u8::from(record.target.is_some())])?;
    record.sides().try_for_each(|side| {
        for text in [side.language.as_str(), &side.text] {
            file.write_all(&(text.len() as u64).to_le_bytes())?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    })
}

fn read(file: &mut impl Read) -> io::Result<CorpusRecord> {
    let origin = Origin {
        corpus: u32::from_le_bytes(array(file)?),
        file: u32::from_le_bytes(array(file)?),
        place: u64::from_le_bytes(array(file)?),
    };
    let [has_target] = array(file)?;
    let source = segment(file)?;
    let target = match has_target {
        0 => None,
        _ => Some(segment(file)?),
    };
    Ok(CorpusRecord {
        source,
        target,
        origin,
    })
}

fn segment(file: &mut impl Read) -> io::Result<Segment> {
    let language: LanguageTag = text(file)?.parse().map_err(io::Error::other)?;
    let text = text(file)?;
    Ok(Segment { language, text })
}

fn text(file: &mut impl Read) -> io::Result<String> {
    let length = u64::from_le_bytes(array(file)?);
    let mut bytes = vec![0; length as usize];
    file.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

fn array<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
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
