//! Several ranges, one after the other.

use std::ops::Range;

/// Ranges of indices, in the order in which they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<usize>>);

impl Ranges {
    /// `count` ranges of `length`, each `stride` behind the one before; the first begins at `first`.
    pub(crate) fn every(stride: usize, count: usize, first: usize, length: usize) -> Self {
        let starts = (0..count).map(|index| first + index * stride);
        Self(starts.map(|start| start..start + length).collect())
    }

    /// `length` indices in which each `width` hold pairs: of every width the first of all pairs, then
    /// the second.
    pub(crate) fn halves(length: usize, width: usize) -> Self {
        let width = width.max(2);
        let starts = (0..length).map(|index| {
            let (first, place) = (index / width * width, index % width);
            let (half, pair) = (place / (width / 2), place % (width / 2));
            first + 2 * pair + half
        });
        Self(starts.map(|start| start..start + 1).collect())
    }

    /// Pieces of at most `most` indices in a row, each with the ranges in it.
    pub(crate) fn pieces(&self, most: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        for range in &self.0 {
            for start in range.clone().step_by(most) {
                let range = start..range.end.min(start + most);
                match pieces
                    .last_mut()
                    .filter(|piece| piece.with(&range).len() <= most)
                {
                    Some(piece) => {
                        piece.span = piece.with(&range);
                        piece.ranges.push(range);
                    }
                    None => pieces.push(Piece {
                        span: range.clone(),
                        ranges: vec![range],
                    }),
                }
            }
        }
        pieces
    }

    /// The range, if it is one only.
    pub(crate) fn as_one(&self) -> Option<Range<usize>> {
        match self.0.as_slice() {
            [range] => Some(range.clone()),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().cloned()
    }

    /// Number of indices.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(Range::len).sum()
    }
}

/// Ranges that lie close together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From the first index of any to the last.
    pub(crate) span: Range<usize>,
    pub(crate) ranges: Vec<Range<usize>>,
}

impl Piece {
    fn with(&self, range: &Range<usize>) -> Range<usize> {
        self.span.start.min(range.start)..self.span.end.max(range.end)
    }
}

impl From<Range<usize>> for Ranges {
    fn from(range: Range<usize>) -> Self {
        Self(std::iter::once(range).collect())
    }
}
