//! Records that are drawn from groups, as those of D_C.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

use crate::DataError;
use crate::cleaning::{Marks, Spill};

/// Bytes of an entry: group, priority, record.
const ENTRY: usize = 2 + 8 + 8;

/// Draws a number of records from each of several groups, without replacement. It takes exactly as
/// many as are wanted: those whose numbers, drawn by chance and divided by the weights of their
/// corpora, are the smallest (Efraimidis and Spirakis 2006). They are sorted outside of memory.
#[derive(Debug)]
pub(in crate::builders) struct Selection<G> {
    entries: Spill<ENTRY>,
    /// Index of each group, and its records.
    groups: BTreeMap<G, (u16, u64)>,
}

/// Records of groups.
pub(in crate::builders) type GroupCounts<G> = BTreeMap<G, u64>;

impl<G: Copy + Ord + Debug> Selection<G> {
    pub(in crate::builders) fn new(directory: &Path, memory: usize) -> Self {
        Self {
            entries: Spill::new(directory, memory),
            groups: BTreeMap::new(),
        }
    }

    /// Adds a record with its chance, a number above 0 and below 1.
    pub(in crate::builders) fn push(
        &mut self,
        group: G,
        unit: f64,
        weight: f64,
        record: u64,
    ) -> Result<(), DataError> {
        let next = self.groups.len() as u16;
        let (index, records) = self.groups.entry(group).or_insert((next, 0));
        *records += 1;
        // Bits of numbers that are not negative sort as they do.
        let priority = (-unit.ln() / weight).to_bits();
        let mut entry = [0; ENTRY];
        entry[..2].copy_from_slice(&index.to_be_bytes());
        entry[2..10].copy_from_slice(&priority.to_be_bytes());
        entry[10..].copy_from_slice(&record.to_be_bytes());
        self.entries.push(entry)
    }

    /// Number of the records of each group.
    pub(in crate::builders) fn counts(&self) -> GroupCounts<G> {
        self.groups
            .iter()
            .map(|(group, (_, records))| (*group, *records))
            .collect()
    }

    /// Draws as many of each group as are wanted, or all that there are.
    pub(in crate::builders) fn draw(self, wanted: &GroupCounts<G>) -> Result<Marks, DataError> {
        let mut left = vec![0; self.groups.len()];
        for (group, (index, _)) in &self.groups {
            left[usize::from(*index)] = wanted.get(group).copied().unwrap_or(0);
        }
        let mut drawn = Marks::default();
        for entry in self.entries.finish()? {
            let entry = entry?;
            let left = &mut left[usize::from(u16::from_be_bytes([entry[0], entry[1]]))];
            if *left > 0 {
                *left -= 1;
                let number = |number, byte: &u8| number << 8 | u64::from(*byte);
                drawn.insert(entry[10..].iter().fold(0, number));
            }
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(units: &[f64], weight: impl Fn(u64) -> f64, wanted: u64, memory: usize) -> Marks {
        let directory = tempfile::tempdir().unwrap();
        let mut selection = Selection::new(directory.path(), memory);
        for (record, unit) in (0..).zip(units) {
            let group = record % 2;
            selection
                .push(group, *unit, weight(record), record)
                .unwrap();
        }
        let groups = selection.counts();
        assert_eq!(groups[&0], units.len().div_ceil(2) as u64);
        let wanted = BTreeMap::from([(0, wanted)]);
        selection.draw(&wanted).unwrap()
    }

    #[test]
    fn exactly_as_many_are_drawn_whatever_the_memory() {
        let units: Vec<f64> = (1..400)
            .map(|n| f64::from(n * 7919 % 401) / 401.0)
            .collect();
        let drawn = draw(&units, |_| 1.0, 37, 1 << 20);
        assert_eq!(drawn.count(), 37);
        assert!((0..399).all(|record| !drawn.contains(record) || record % 2 == 0));
        assert_eq!(draw(&units, |_| 1.0, 37, 50), drawn);
        assert_eq!(draw(&units, |_| 1.0, 1_000, 50).count(), 200);
        // More records of one group are drawn from, and the others stay.
        let more = draw(&units, |_| 1.0, 50, 50);
        assert!((0..399).all(|record| !drawn.contains(record) || more.contains(record)));
    }

    #[test]
    fn a_weight_is_a_chance() {
        let units: Vec<f64> = (0..8_000)
            .map(|n| (f64::from(n * 7919 % 8_009) + 0.5) / 8_009.0)
            .collect();
        let drawn = draw(
            &units,
            |record| if record % 4 == 0 { 3.0 } else { 1.0 },
            400,
            1 << 20,
        );
        let heavy = (0..8_000)
            .filter(|record| record % 4 == 0 && drawn.contains(*record))
            .count();
        // Three quarters of few that are drawn, less what the taken ones no longer give.
        assert!((270..325).contains(&heavy), "{heavy}");
    }
}
