//! Exact duplicates, in a corpus that does not fit in memory.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::{Marks, Spill};
use crate::DataError;

/// Bytes of an entry: round, key, record.
const ENTRY: usize = 1 + 16 + 8;

/// Key of a text, or of several that count as one. Texts in different scopes are never duplicates.
/// Two texts of a thousand million have the same key by chance once in 10^20 times.
pub fn key<'a>(scope: &'a str, texts: impl IntoIterator<Item = &'a str>) -> u128 {
    let mut bytes = Vec::new();
    for text in std::iter::once(scope).chain(texts) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    xxh3_128(&bytes)
}

/// Finds duplicates by the keys of records, round by round: in each, records with the same key are
/// duplicates, and the first of those that no earlier round took stays.
///
/// With one round for pairs, one for their sources and one for their targets this is what three filters
/// do, one behind the other. Keys are sorted outside of memory; neither memory nor threads change what
/// is found.
#[derive(Debug)]
pub struct ExactDuplicates {
    entries: Spill<ENTRY>,
}

impl ExactDuplicates {
    /// `memory` is in bytes; a temporary file is made in `directory`.
    pub fn new(directory: &Path, memory: usize) -> Self {
        Self {
            entries: Spill::new(directory, memory),
        }
    }

    /// Adds the [`key`] that a record has in a round.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the temporary file cannot be written.
    pub fn push(&mut self, round: u8, key: u128, record: u64) -> Result<(), DataError> {
        let mut entry = [0; ENTRY];
        entry[0] = round;
        entry[1..17].copy_from_slice(&key.to_be_bytes());
        entry[17..].copy_from_slice(&record.to_be_bytes());
        self.entries.push(entry)
    }

    /// The duplicates that each of `rounds` rounds found, besides those in `gone`, to which they are
    /// added.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] if the temporary file cannot be read.
    pub fn finish(self, rounds: u8, gone: &mut Marks) -> Result<Vec<Marks>, DataError> {
        let mut found = vec![Marks::default(); usize::from(rounds)];
        // Round and key of the last record that stays.
        let mut kept = None;
        for entry in self.entries.finish()? {
            let entry = entry?;
            let (group, record) = entry.split_at(17);
            let record = record
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
            if gone.contains(record) {
                continue;
            }
            let group: [u8; 17] = std::array::from_fn(|index| group[index]);
            if kept == Some(group) {
                gone.insert(record);
                found[usize::from(group[0])].insert(record);
            }
            kept = Some(group);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Filters with sets in memory, one behind the other.
    fn naive(pairs: &[(u8, u8)]) -> Vec<Vec<u64>> {
        let mut left: Vec<u64> = (0..pairs.len() as u64).collect();
        let key = |round, (a, b): (u8, u8)| match round {
            0 => (a, b),
            1 => (a, 0),
            _ => (0, b),
        };
        (0..3)
            .map(|round| {
                let mut seen = HashSet::new();
                let (kept, found) = left
                    .iter()
                    .partition(|&&record| seen.insert(key(round, pairs[record as usize])));
                left = kept;
                found
            })
            .collect()
    }

    fn external(pairs: &[(u8, u8)], memory: usize) -> Vec<Vec<u64>> {
        let directory = tempfile::tempdir().unwrap();
        let mut duplicates = ExactDuplicates::new(directory.path(), memory);
        for (record, (a, b)) in (0..).zip(pairs) {
            let (a, b) = (a.to_string(), b.to_string());
            duplicates.push(0, key("x", [&*a, &b]), record).unwrap();
            duplicates.push(1, key("x", [&*a]), record).unwrap();
            duplicates.push(2, key("x", [&*b]), record).unwrap();
        }
        let mut gone = Marks::default();
        let found = duplicates.finish(3, &mut gone).unwrap();
        assert_eq!(gone.count(), found.iter().map(Marks::count).sum::<u64>());
        let records = |marks: &Marks| {
            (0..pairs.len() as u64)
                .filter(|&r| marks.contains(r))
                .collect()
        };
        found.iter().map(records).collect()
    }

    proptest! {
        #[test]
        fn the_same_are_found_as_with_sets_in_memory(
            pairs in vec((0..12_u8, 0..12_u8), 0..120),
        ) {
            let expected = naive(&pairs);
            for memory in [0, 200, 1 << 20] {
                prop_assert_eq!(&external(&pairs, memory), &expected);
            }
        }
    }

    #[test]
    fn keys_tell_texts_and_scopes_apart() {
        let keys = [
            key("", ["ab", "c"]),
            key("", ["a", "bc"]),
            key("", ["abc"]),
            key("a", ["bc"]),
            key("", ["abc", ""]),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(keys[0], key("", ["ab", "c"]));
    }
}
