//! A set of record numbers, a bit each.

/// A set of numbers of records: a bit for each up to the largest, so that fifty million records take
/// six megabytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    bits: Vec<u64>,
}

impl Marks {
    /// Adds a record. Returns whether it is new.
    pub fn insert(&mut self, record: u64) -> bool {
        let (word, bit) = Self::place(record);
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        is_new
    }

    /// Whether a record is in the set.
    pub fn contains(&self, record: u64) -> bool {
        let (word, bit) = Self::place(record);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Number of its records.
    pub fn count(&self) -> u64 {
        self.bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    fn place(record: u64) -> (usize, u64) {
        ((record / 64) as usize, 1 << (record % 64))
    }
}

impl FromIterator<u64> for Marks {
    fn from_iter<I: IntoIterator<Item = u64>>(records: I) -> Self {
        let mut marks = Self::default();
        for record in records {
            marks.insert(record);
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_in_the_set_once() {
        let mut marks = Marks::default();
        assert!(!marks.contains(1_000));
        for record in [0, 63, 64, 1_000] {
            assert!(marks.insert(record));
            assert!(!marks.insert(record));
            assert!(marks.contains(record));
        }
        assert!(!marks.contains(65));
        assert_eq!(marks.count(), 4);
        assert_eq!(marks, [1_000, 64, 63, 0].into_iter().collect());
    }
}
