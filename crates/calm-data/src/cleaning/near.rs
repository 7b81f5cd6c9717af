//! Near duplicates, in a corpus that does not fit in memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::minhash::{MinHashConfig, Sketch, similarity};
use super::{Marks, Spill};
use crate::DataError;

/// Bytes of an entry: band, key, record.
const ENTRY: usize = 2 + 8 + 8;

/// Records that do not resemble each other, and that the others with the same key are compared to.
const MOST_COMPARED: usize = 128;

/// Finds near duplicates by the [`Sketch`]es of records, band by band: of the records that no band
/// before took, those with the same key are compared in their order, each to those before it that
/// stay, and goes if its similarity to one of them is estimated at the threshold or more.
///
/// So every record that goes resembles an earlier one, the first of a group stays, and no two records
/// stay that share a band and resemble each other (unless more than 128 with one key resemble none of
/// the others). Keys are sorted outside of memory, signatures are in a temporary file, of two bytes for
/// each permutation; neither memory nor threads change what is found.
#[derive(Debug)]
pub struct NearDuplicates {
    config: MinHashConfig,
    entries: Spill<ENTRY>,
    signatures: Signatures,
}

impl NearDuplicates {
    /// `memory` is in bytes; temporary files are made in `directory`.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] if a setting is out of range, [`DataError::Io`] if no file can be made.
    pub fn new(config: MinHashConfig, directory: &Path, memory: usize) -> Result<Self, DataError> {
        config.validate()?;
        Ok(Self {
            config,
            entries: Spill::new(directory, memory),
            signatures: Signatures::new(directory, config.permutations)
                .map_err(DataError::io(directory))?,
        })
    }

    /// Adds a record. Records come in ascending order.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if a temporary file cannot be written.
    pub fn push(&mut self, record: u64, sketch: &Sketch) -> Result<(), DataError> {
        for (band, key) in (0_u16..).zip(&sketch.bands) {
            let mut entry = [0; ENTRY];
            entry[..2].copy_from_slice(&band.to_be_bytes());
            entry[2..10].copy_from_slice(&key.to_be_bytes());
            entry[10..].copy_from_slice(&record.to_be_bytes());
            self.entries.push(entry)?;
        }
        self.signatures.push(record, &sketch.signature)
    }

    /// The near duplicates, besides those in `gone`, to which they are added.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if a temporary file cannot be read.
    pub fn finish(mut self, gone: &mut Marks) -> Result<Marks, DataError> {
        let mut found = Marks::default();
        let mut group = Group::default();
        for entry in self.entries.finish()? {
            let entry = entry?;
            let (key, record) = entry.split_at(10);
            let record = record
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
            if gone.contains(record) {
                continue;
            }
            if group.key != key {
                group.begin(key, record);
                continue;
            }
            if let Some(first) = group.first.take() {
                group.kept.push(self.signatures.read(first)?);
            }
            let signature = self.signatures.read(record)?;
            let mut kept = group.kept.iter();
            if kept.any(|other| similarity(other, &signature) >= self.config.similarity) {
                gone.insert(record);
                found.insert(record);
            } else if group.kept.len() < MOST_COMPARED {
                group.kept.push(signature);
            }
        }
        Ok(found)
    }
}

/// Records with the same key in a band.
#[derive(Debug, Default)]
struct Group {
    /// Band and key.
    key: Vec<u8>,
    /// The first record, until there is a second.
    first: Option<u64>,
    /// Signatures of those that stay.
    kept: Vec<Vec<u16>>,
}

impl Group {
    fn begin(&mut self, key: &[u8], first: u64) {
        key.clone_into(&mut self.key);
        self.first = Some(first);
        self.kept.clear();
    }
}

/// Signatures in a temporary file, at the places that their records' numbers give.
#[derive(Debug)]
struct Signatures {
    directory: PathBuf,
    file: BufWriter<File>,
    /// Numbers of a signature.
    length: usize,
    /// The record after the last one.
    next: u64,
}

impl Signatures {
    fn new(directory: &Path, length: usize) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            file: BufWriter::with_capacity(1 << 18, file),
            length,
            next: 0,
        })
    }

    fn push(&mut self, record: u64, signature: &[u16]) -> Result<(), DataError> {
        debug_assert!(record >= self.next, "records come in ascending order");
        let blank = vec![0; 2 * self.length];
        let bytes: Vec<u8> = signature
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let blanks = (self.next..record).try_for_each(|_| self.file.write_all(&blank));
        let written = blanks.and_then(|()| self.file.write_all(&bytes));
        self.next = record + 1;
        written.map_err(DataError::io(&self.directory))
    }

    fn read(&mut self, record: u64) -> Result<Vec<u16>, DataError> {
        let mut bytes = vec![0; 2 * self.length];
        let at = SeekFrom::Start(record * bytes.len() as u64);
        // Writes first what is not yet in the file.
        let found = self.file.seek(at);
        let read = found.and_then(|_| self.file.get_mut().read_exact(&mut bytes));
        read.map_err(DataError::io(&self.directory))?;
        let numbers = bytes.as_chunks::<2>().0.iter();
        Ok(numbers.map(|number| u16::from_le_bytes(*number)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::minhash::{GramUnit, MinHash};
    use super::*;

    fn config() -> MinHashConfig {
        MinHashConfig {
            unit: GramUnit::Words,
            n: 1,
            permutations: 32,
            bands: 8,
            similarity: 0.6,
        }
    }

    fn sketches(texts: &[Vec<u8>]) -> Vec<Sketch> {
        let minhash = MinHash::new(config()).unwrap();
        let sketch = |words: &Vec<u8>| {
            let text: String = words.iter().map(|word| format!("w{word} ")).collect();
            minhash.sketch("", [&*text]).unwrap()
        };
        texts.iter().map(sketch).collect()
    }

    fn external(sketches: &[Sketch], before: &[u64], memory: usize) -> Vec<u64> {
        let directory = tempfile::tempdir().unwrap();
        let mut near = NearDuplicates::new(config(), directory.path(), memory).unwrap();
        let mut gone: Marks = before.iter().copied().collect();
        for (record, sketch) in (0..).zip(sketches) {
            if record % 5 != 4 || !gone.contains(record) {
                near.push(record, sketch).unwrap();
            }
        }
        let found = near.finish(&mut gone).unwrap();
        assert_eq!(gone.count(), found.count() + before.len() as u64);
        (0..sketches.len() as u64)
            .filter(|&record| found.contains(record))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn what_stays_does_not_resemble_and_what_goes_resembles_something_before(
            texts in vec(vec(0..9_u8, 1..8), 1..60),
        ) {
            let sketches = sketches(&texts);
            let before: Vec<u64> = (0..texts.len() as u64).filter(|record| record % 5 == 4).collect();
            let found = external(&sketches, &before, 1 << 20);
            for memory in [0, 300] {
                prop_assert_eq!(&external(&sketches, &before, memory), &found);
            }
            let is_candidate = |a: usize, b: usize| {
                let mut bands = sketches[a].bands.iter().zip(&sketches[b].bands);
                bands.any(|(a, b)| a == b)
                    && similarity(&sketches[a].signature, &sketches[b].signature) >= 0.6
            };
            let is_before = |record: usize| before.contains(&(record as u64));
            let is_found = |record: usize| found.contains(&(record as u64));
            for record in 0..texts.len() {
                let mut earlier = (0..record).filter(|&other| !is_before(other));
                if is_found(record) {
                    prop_assert!(earlier.any(|other| is_candidate(other, record)));
                } else if !is_before(record) {
                    prop_assert!(!earlier.any(|other| !is_found(other) && is_candidate(other, record)));
                }
            }
        }
    }

    #[test]
    fn the_first_of_a_group_stays() {
        let texts = [
            [1, 2, 3, 4],
            [5, 6, 7, 8],
            [1, 2, 3, 4],
            [4, 3, 2, 1],
            [5, 6, 7, 8],
        ];
        let texts = texts.map(|words| words.to_vec());
        assert_eq!(external(&sketches(&texts), &[], 0), [2, 3, 4]);
    }
}
