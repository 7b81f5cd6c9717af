//! Texts that begin alike, in one pass: every row of a batch is a tree of tokens.

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::PaddingMask;

/// Prefix trees of tokens: a row holds several texts that begin alike, and a token sees itself and
/// the tokens between it and the root.
///
/// ```text
/// the ─ an ─ chor          position  0    1    2    3      4
///   └── anchor ─ reads     token     the  an   chor anchor reads
///                          parent    -    0    1    0      3
/// ```
///
/// A token's place in its text is the number of tokens before it on that way; windows count along
/// it, too. The positions that a cache holds are one text.
#[derive(Debug, Clone)]
pub struct TokenTrees {
    /// Positions held, and the new ones.
    all: PaddingMask,
    /// Number of positions held.
    past: usize,
    /// `[batch, past + new]`: the position of the token before; none for a first token.
    parents: Vec<Option<usize>>,
    /// `[batch, past + new]`: how many tokens are before it.
    depths: Vec<usize>,
}

impl TokenTrees {
    /// New tokens after the positions that a cache holds ([`PaddingMask::none`] of no positions
    /// without one). Each row has, for every new token, the position of the one before it, counted
    /// from the first that is held; shorter rows are padded on the right.
    ///
    /// # Panics
    ///
    /// If there are not as many rows as are held, or a token comes before its parent.
    pub fn new(held: &PaddingMask, rows: &[Vec<Option<usize>>]) -> Self {
        assert_eq!(
            held.batch(),
            rows.len(),
            "rows of the cache and of the batch"
        );
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let (past, all) = (held.seq(), held.followed_by(&PaddingMask::right(&lengths)));
        let mut parents = Vec::with_capacity(all.batch() * all.seq());
        let mut depths = Vec::with_capacity(all.batch() * all.seq());
        for (row, new) in rows.iter().enumerate() {
            let start = parents.len();
            let chain = held
                .row(row)
                .iter()
                .enumerate()
                .scan(None, |last, (at, real)| {
                    let parent = *last;
                    *last = real.then_some(at).or(parent);
                    Some(parent)
                });
            parents.extend(chain.chain(new.iter().copied()));
            parents.resize(start + all.seq(), None);
            for position in 0..all.seq() {
                let depth = parents[start + position].map_or(0, |parent| {
                    assert!(parent < position, "a token comes after its parent");
                    depths[start + parent] + 1
                });
                depths.push(depth);
            }
        }
        Self {
            all,
            past,
            parents,
            depths,
        }
    }

    /// Positions before the new ones.
    pub fn past(&self) -> usize {
        self.past
    }

    /// The new positions: which hold a token, and which only fill a row up.
    pub fn new_positions(&self) -> PaddingMask {
        PaddingMask::new(
            self.all.batch(),
            self.all.seq() - self.past,
            |row, position| self.all.row(row)[self.past + position],
        )
    }

    /// Tokens of the longest text.
    pub fn longest_text(&self) -> usize {
        let rows = (0..self.all.batch()).flat_map(|row| self.all.row(row));
        let texts = self.depths.iter().zip(rows);
        let lengths = texts.filter(|(_, real)| **real).map(|(depth, _)| depth + 1);
        lengths.max().unwrap_or(0)
    }

    /// Mask of queries that each see the text up to a token, or nothing:
    /// `[batch, 1, queries, keys]`, `true` = masked.
    ///
    /// `ends` has for every row and query the token's position, counted from the first held.
    ///
    /// # Panics
    ///
    /// If the rows have different numbers of queries, or there are fewer keys than positions.
    pub fn masked(
        &self,
        ends: &[Vec<Option<usize>>],
        keys: usize,
        device: &Device,
    ) -> Tensor<4, Bool> {
        self.masked_in_window(ends, keys, usize::MAX, device)
    }

    /// [`TokenTrees::masked`] for queries that see the last `window` tokens of a text.
    pub(crate) fn masked_in_window(
        &self,
        ends: &[Vec<Option<usize>>],
        keys: usize,
        window: usize,
        device: &Device,
    ) -> Tensor<4, Bool> {
        assert!(keys >= self.all.seq(), "a key for every position");
        let queries = ends.first().map_or(0, Vec::len);
        let mut masked = vec![true; ends.len() * queries * keys];
        for (row, ends) in ends.iter().enumerate() {
            assert_eq!(ends.len(), queries, "queries of every row");
            for (query, end) in ends.iter().enumerate() {
                let start = (row * queries + query) * keys;
                let text =
                    std::iter::successors(*end, |at| self.parents[row * self.all.seq() + at]);
                text.take(window).for_each(|at| masked[start + at] = false);
            }
        }
        let masked = TensorData::new(masked, [ends.len(), 1, queries, keys]);
        Tensor::from_data(masked, device)
    }

    /// The new positions as the ends of what they see: of padding, nothing.
    pub(crate) fn own_ends(&self) -> Vec<Vec<Option<usize>>> {
        let row = |row| {
            let real = self.all.row(row).iter().enumerate().skip(self.past);
            real.map(|(at, real)| real.then_some(at)).collect()
        };
        (0..self.all.batch()).map(row).collect()
    }

    /// Every position of a row in its text.
    pub fn depths(&self, row: usize) -> &[usize] {
        &self.depths[row * self.all.seq()..][..self.all.seq()]
    }

    pub(crate) fn all(&self) -> &PaddingMask {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(trees: &TokenTrees, ends: &[Vec<Option<usize>>], window: usize) -> Vec<String> {
        let keys = trees.all.seq() + 1;
        let masked = trees.masked_in_window(ends, keys, window, &Device::default());
        let masked: Vec<bool> = masked.into_data().iter().collect();
        let draw = |masked: &bool| if *masked { 'x' } else { '.' };
        let rows = masked.chunks(keys);
        rows.map(|row| row.iter().map(draw).collect()).collect()
    }

    #[test]
    fn a_token_sees_its_own_way_from_the_beginning() {
        let row = vec![None, Some(0), Some(1), Some(0), Some(3)];
        let trees = TokenTrees::new(&PaddingMask::none(1, 0), &[row]);
        assert_eq!(trees.depths(0), [0, 1, 2, 1, 2]);
        assert_eq!(trees.longest_text(), 3);
        let ends = trees.own_ends();
        assert_eq!(
            drawn(&trees, &ends, usize::MAX),
            [".xxxxx", "..xxxx", "...xxx", ".xx.xx", ".xx..x"]
        );
        assert_eq!(drawn(&trees, &ends, 2)[4], "xxx..x");
        assert_eq!(
            drawn(&trees, &[vec![None, Some(3)]], 9),
            ["xxxxxx", ".xx.xx"]
        );
    }

    #[test]
    fn trees_go_on_from_what_is_held() {
        // Of the first row the second position is a hole; the second row has less of both.
        let held = PaddingMask::new(2, 3, |row, at| (row == 0) != (at == 1));
        let trees = TokenTrees::new(&held, &[vec![Some(2), Some(0)], vec![Some(1)]]);
        assert_eq!(trees.depths(0), [0, 1, 1, 2, 1]);
        assert_eq!(trees.depths(1)[3], 1);
        assert_eq!(trees.new_positions(), PaddingMask::right(&[2, 1]));
        assert_eq!(
            drawn(&trees, &trees.own_ends(), usize::MAX),
            [".x..xx", ".xxx.x", "x.x.xx", "xxxxxx"]
        );
    }
}
