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

impl From<Range<usize>> for Ranges {
    fn from(range: Range<usize>) -> Self {
        Self(std::iter::once(range).collect())
    }
}
