//! Rows of a data set as hashes, to find out whether others are among them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use calm_files::{Digest, Sha256};

use crate::{DataError, ExampleForm, ExampleReader, Record};

/// Begins a file of a [`RowSet`]; the last byte is the version of its layout.
const MAGIC: [u8; 8] = *b"calmrow\x01";

/// Bytes of the hash of a data file, in hexadecimal.
const SHA256_BYTES: usize = 64;

/// The examples of a data set, by 64 bits of the SHA-256 of each: eight bytes an example. Examples
/// are the same if prompt and target are, without the space around them, in whatever form they stand.
///
/// Of a million rows and ten thousand others, one pair is taken for the same by chance once in two
/// thousand million times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowSet {
    hashes: HashSet<u64>,
    sha256: String,
}

impl RowSet {
    /// The name of its file beside what was trained on the data.
    pub const FILE: &str = "trained-on.rows";

    /// The examples of a data set.
    ///
    /// # Errors
    ///
    /// As [`ExampleReader::next_row`].
    pub fn of(path: &Path, form: &ExampleForm) -> Result<Self, DataError> {
        let mut reader = ExampleReader::open(path, form)?;
        let mut hashes = HashSet::new();
        while let Some(records) = reader.next_row()? {
            hashes.extend(records.iter().map(hash));
        }
        let sha256 = reader.sha256();
        Ok(Self { hashes, sha256 })
    }

    /// SHA-256 of the data.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Number of these examples that are in the set.
    pub fn count<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> usize {
        let records = records.into_iter();
        records
            .filter(|record| self.hashes.contains(&hash(record)))
            .count()
    }

    /// Writes the set, sorted.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut hashes: Vec<u64> = self.hashes.iter().copied().collect();
        hashes.sort_unstable();
        let hashes: Vec<[u8; 8]> = hashes.iter().map(|hash| hash.to_le_bytes()).collect();
        let bytes = [&MAGIC[..], self.sha256.as_bytes(), hashes.as_flattened()].concat();
        Ok(calm_files::write(path, bytes)?)
    }

    /// Reads a set; none if there is no file, or it is of another program.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (sha256, hashes) = rest.split_at_checked(SHA256_BYTES)?;
        let (hashes, _) = hashes.as_chunks();
        Some(Self {
            hashes: hashes
                .iter()
                .map(|hash| u64::from_le_bytes(*hash))
                .collect(),
            sha256: String::from_utf8(sha256.to_vec()).ok()?,
        })
    }
}

fn hash(record: &Record) -> u64 {
    let mut hash = Sha256::new();
    for text in record.key() {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let [first, ..]: [[u8; 8]; 4] = bytes_of(hash.finalize().into());
    u64::from_le_bytes(first)
}

fn bytes_of(hash: [u8; 32]) -> [[u8; 8]; 4] {
    let (chunks, _) = hash.as_chunks();
    [chunks[0], chunks[1], chunks[2], chunks[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_again_in_other_forms() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train.csv");
        fs::write(&path, "question,answer\n1 + 1?,2\nWhy?, Because. \n").unwrap();
        let set = RowSet::of(&path, &ExampleForm::default()).unwrap();
        let saved = dir.path().join(RowSet::FILE);
        set.write(&saved).unwrap();
        assert_eq!(RowSet::read(&saved).unwrap(), set);
        assert_eq!(set.sha256(), ExampleReader::sha256_of(&path).unwrap());
        let others = dir.path().join("test.jsonl");
        let lines = [
            r#"{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}]}"#,
            r#"{"prompt": "1 + 1?", "target": "3"}"#,
            r#"{"text": "2"}"#,
        ];
        fs::write(&others, lines.join("\n")).unwrap();
        let others = ExampleReader::read(&others, &ExampleForm::default(), None).unwrap();
        assert_eq!(set.count(&others), 1);
        fs::write(&saved, "calmrow").unwrap();
        assert_eq!(RowSet::read(&saved), None);
        assert_eq!(RowSet::read(&dir.path().join("none")), None);
    }
}
