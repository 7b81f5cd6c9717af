//! Several examples in one row.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Examples in rows of bounded length, each example whole and in one row.
///
/// Best fit, longest first: an example goes into the fullest row that has room for it. Rows are
/// then all but full, unless nearly all examples are longer than half a row. A seed decides which
/// of equally long examples meet; the rows are the same in every epoch.
#[derive(Debug)]
pub(crate) struct Packing {
    /// Row by row.
    examples: Vec<u32>,
    /// End of each row in them.
    ends: Vec<u32>,
}

impl Packing {
    /// Rows of up to `length` tokens out of examples that have so many. A longer example has a row
    /// of its own.
    pub(crate) fn new(tokens: &[u32], length: usize, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..tokens.len() as u32).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        order.sort_by_key(|&example| std::cmp::Reverse(tokens[example as usize]));
        let mut rows: Vec<Vec<u32>> = Vec::new();
        let mut with_room: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for example in order {
            let needed = tokens[example as usize] as usize;
            let (row, room) = take_row(&mut with_room, needed).unwrap_or_else(|| {
                rows.push(Vec::new());
                (rows.len() - 1, length)
            });
            rows[row].push(example);
            let left = room.saturating_sub(needed);
            if left > 0 {
                with_room.entry(left).or_default().push(row);
            }
        }
        let ends = rows.iter().scan(0, |end, row| {
            *end += row.len() as u32;
            Some(*end)
        });
        Self {
            ends: ends.collect(),
            examples: rows.concat(),
        }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Examples of a row.
    pub(crate) fn row(&self, row: usize) -> &[u32] {
        let Range { start, end } = self.range(row);
        &self.examples[start as usize..end as usize]
    }

    fn range(&self, row: usize) -> Range<u32> {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[row]
    }
}

/// Takes the row with the least room of those that have enough, and tells how much it has.
fn take_row(with_room: &mut BTreeMap<usize, Vec<usize>>, needed: usize) -> Option<(usize, usize)> {
    let (&room, rows) = with_room.range_mut(needed.max(1)..).next()?;
    let row = rows.pop()?;
    if rows.is_empty() {
        with_room.remove(&room);
    }
    Some((row, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(tokens: &[u32], length: usize, seed: u64) -> Vec<Vec<u32>> {
        let packing = Packing::new(tokens, length, seed);
        let rows = (0..packing.rows()).map(|row| packing.row(row).to_vec());
        rows.collect()
    }

    #[test]
    fn every_example_is_in_one_row_and_rows_are_nearly_full() {
        let tokens: Vec<u32> = (0..997).map(|i| 1 + i * i % 61).collect();
        let rows = rows(&tokens, 64, 3);
        let mut seen = rows.concat();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..997));
        let length = |row: &Vec<u32>| row.iter().map(|&one| tokens[one as usize]).sum::<u32>();
        assert!(rows.iter().all(|row| length(row) <= 64));
        let least = tokens.iter().sum::<u32>().div_ceil(64) as usize;
        assert!(rows.len() <= least + least / 50, "{} {least}", rows.len());
    }

    #[test]
    fn long_and_fitting_examples_have_rows_of_their_own() {
        assert_eq!(rows(&[4, 9, 3, 1], 4, 0), [vec![1], vec![0], vec![2, 3]]);
        assert_eq!(rows(&[0, 4, 0], 4, 0).concat().len(), 3);
    }

    #[test]
    fn the_seed_decides_which_examples_meet() {
        let tokens = [2; 40];
        assert_eq!(rows(&tokens, 4, 1), rows(&tokens, 4, 1));
        assert_ne!(rows(&tokens, 4, 1), rows(&tokens, 4, 2));
    }
}
