//! Which positions of a batch hold tokens, and which only fill it up.

use burn::tensor::{Bool, Device, Tensor, TensorData};

/// A batch's shape, and for every position whether it holds a real token (`true`) or padding.
///
/// Kept on the host: positions and masks are worked out from it once per forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaddingMask {
    batch: usize,
    seq: usize,
    /// `[batch, seq]`, row by row.
    real: Vec<bool>,
}

impl PaddingMask {
    /// A batch without padding.
    pub fn none(batch: usize, seq: usize) -> Self {
        Self {
            batch,
            seq,
            real: vec![true; batch * seq],
        }
    }

    /// Rows of these lengths, padded on the left to the longest.
    pub fn left(lengths: &[usize]) -> Self {
        let seq = lengths.iter().copied().max().unwrap_or(0);
        Self::new(lengths.len(), seq, |row, position| {
            position >= seq - lengths[row]
        })
    }

    /// Rows of these lengths, padded on the right to the longest.
    pub fn right(lengths: &[usize]) -> Self {
        let seq = lengths.iter().copied().max().unwrap_or(0);
        Self::new(lengths.len(), seq, |row, position| position < lengths[row])
    }

    /// A batch whose real positions are those for which `is_real(row, position)` holds.
    pub fn new(batch: usize, seq: usize, is_real: impl Fn(usize, usize) -> bool) -> Self {
        let is_real = &is_real;
        let real = (0..batch).flat_map(|row| (0..seq).map(move |position| is_real(row, position)));
        Self {
            batch,
            seq,
            real: real.collect(),
        }
    }

    /// Number of rows.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of positions, padding included.
    pub fn seq(&self) -> usize {
        self.seq
    }

    /// The positions of a row, `true` where it holds a token.
    pub fn row(&self, row: usize) -> &[bool] {
        &self.real[row * self.seq..(row + 1) * self.seq]
    }

    /// Each position's place in its row's text: the number of real tokens before it.
    pub fn places(&self, row: usize) -> impl Iterator<Item = usize> {
        self.row(row).iter().scan(0, |real_before, real| {
            let place = *real_before;
            *real_before += usize::from(*real);
            Some(place)
        })
    }

    /// Whether no position is padding.
    pub fn is_full(&self) -> bool {
        self.real.iter().all(|real| *real)
    }

    /// The number of real positions in a row.
    pub(crate) fn tokens(&self, row: usize) -> usize {
        self.row(row).iter().filter(|real| **real).count()
    }

    /// The largest number of real positions in a row.
    pub(crate) fn longest_row(&self) -> usize {
        (0..self.batch)
            .map(|row| self.tokens(row))
            .max()
            .unwrap_or(0)
    }

    /// On a device, `[batch, seq]`, `true` = real.
    pub fn to_tensor(&self, device: &Device) -> Tensor<2, Bool> {
        let data = TensorData::new(self.real.clone(), [self.batch, self.seq]);
        Tensor::from_data(data, device)
    }

    /// The positions of `next` after those of `self`, row by row.
    pub fn followed_by(&self, next: &Self) -> Self {
        let seq = self.seq + next.seq;
        Self::new(self.batch, seq, |row, position| {
            match position.checked_sub(self.seq) {
                None => self.row(row)[position],
                Some(position) => next.row(row)[position],
            }
        })
    }

    /// The rows of `other` below those of `self`, where positions move by these offsets. Positions
    /// before the first one are dropped; the end of the shorter one is padding.
    pub(crate) fn with_rows_of(&self, other: &Self, offsets: [isize; 2]) -> Self {
        let end = |mask: &Self, offset| match mask.seq {
            0 => 0,
            seq => seq.saturating_add_signed(offset),
        };
        let seq = end(self, offsets[0]).max(end(other, offsets[1]));
        Self::new(self.batch + other.batch, seq, |row, position| {
            let (mask, row, offset) = match row.checked_sub(self.batch) {
                None => (self, row, offsets[0]),
                Some(row) => (other, row, offsets[1]),
            };
            let before = position.checked_add_signed(-offset);
            before.is_some_and(|before| mask.row(row).get(before) == Some(&true))
        })
    }

    /// Positions at the beginning that are padding in all rows.
    pub(crate) fn leading_padding(&self) -> usize {
        let first = |row| self.row(row).iter().position(|real| *real);
        let first_of_all = (0..self.batch).filter_map(first).min();
        first_of_all.unwrap_or(self.seq)
    }

    /// The first `seq` positions of these rows.
    pub(crate) fn select(&self, rows: &[usize], seq: usize) -> Self {
        Self::new(rows.len(), seq, |row, position| {
            self.row(rows[row])[position]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_real_tokens() {
        let left: Vec<usize> = PaddingMask::left(&[3, 5]).places(0).collect();
        assert_eq!(left, [0, 0, 0, 1, 2]);
        let right: Vec<usize> = PaddingMask::right(&[2, 4]).places(0).collect();
        assert_eq!(right, [0, 1, 2, 2]);
    }

    #[test]
    fn sides() {
        let left = PaddingMask::left(&[1, 3]);
        assert_eq!(
            (left.row(0), left.row(1)),
            (&[false, false, true][..], &[true; 3][..])
        );
        let right = PaddingMask::right(&[1, 3]);
        assert_eq!(
            (right.row(0), right.row(1)),
            (&[true, false, false][..], &[true; 3][..])
        );
        assert!(!left.is_full() && PaddingMask::none(2, 3).is_full());
    }

    #[test]
    fn joining_rows_moves_them() {
        let long = PaddingMask::new(1, 4, |_, position| position > 1);
        let short = PaddingMask::none(1, 1);
        assert_eq!((long.leading_padding(), short.leading_padding()), (2, 0));
        let joined = long.with_rows_of(&short, [-2, 1]);
        assert_eq!(joined, PaddingMask::left(&[2, 1]));
        let joined = short.with_rows_of(&long, [0, 0]);
        assert_eq!(
            (joined.row(0), joined.row(1)),
            (&[true, false, false, false][..], long.row(0))
        );
        let empty = PaddingMask::none(2, 0);
        assert_eq!(empty.with_rows_of(&empty, [3, 0]), PaddingMask::none(4, 0));
    }

    #[test]
    fn following_and_selecting() {
        let both = PaddingMask::left(&[1, 2]).followed_by(&PaddingMask::right(&[1, 0]));
        assert_eq!(
            (both.row(0), both.row(1)),
            (&[false, true, true][..], &[true, true, false][..])
        );
        assert_eq!(both.select(&[1], 2), PaddingMask::none(1, 2));
    }
}
