//! Bands of columns of a matrix, each for one thread.

use std::marker::PhantomData;
use std::ops::Range;

/// Neighbouring columns of a matrix in row-major order.
pub(crate) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    /// Elements from a row to the next.
    stride: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "pointers are not sent by themselves")]
// SAFETY: It borrows numbers that nobody else can reach, as `&mut [f32]` does.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    /// All columns of a matrix.
    pub(crate) fn all(matrix: &'a mut [f32], columns: usize) -> Self {
        let mut bands = Self::split(matrix, columns, columns);
        bands.next().expect("a matrix of at least one column")
    }

    /// Cuts a matrix of `columns` columns into bands of `width`; the last one may be narrower.
    pub(crate) fn split(
        matrix: &'a mut [f32],
        columns: usize,
        width: usize,
    ) -> impl Iterator<Item = Self> {
        assert!(matrix.len().is_multiple_of(columns), "whole rows");
        let rows = matrix.len() / columns;
        let start = matrix.as_mut_ptr();
        (0..columns).step_by(width).map(move |first| Self {
            start: start.wrapping_add(first),
            rows,
            stride: columns,
            width: width.min(columns - first),
            matrix: PhantomData,
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Elements from a row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first number of the first row. Rows are [`Columns::stride`] apart.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.start
    }

    /// The same columns of some rows.
    pub(crate) fn part(&mut self, rows: Range<usize>) -> Columns<'_> {
        assert!(
            rows.start <= rows.end && rows.end <= self.rows,
            "rows of the matrix"
        );
        Columns {
            start: self.start.wrapping_add(rows.start * self.stride),
            rows: rows.len(),
            ..*self
        }
    }

    #[inline(always)]
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "a row of the matrix");
        #[expect(unsafe_code, reason = "bands of columns interleave in memory")]
        // SAFETY: The row lies within the matrix, and these columns of it belong to no other band;
        // the matrix is borrowed for `'a`, and this band for as long as the row.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.width)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_belongs_to_one_band() {
        let mut matrix = vec![0.0; 3 * 7];
        for (index, mut band) in Columns::split(&mut matrix, 7, 3).enumerate() {
            assert_eq!(band.width(), [3, 3, 1][index]);
            for row in 0..band.rows() {
                band.row(row)
                    .iter_mut()
                    .for_each(|x| *x += (index + 1) as f32);
            }
        }
        assert_eq!(matrix, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0].repeat(3));
    }

    #[test]
    fn a_part_is_of_the_same_columns() {
        let mut matrix = vec![0.0; 3 * 4];
        let mut band = Columns::split(&mut matrix, 4, 2).nth(1).unwrap();
        let mut part = band.part(1..3);
        assert_eq!(part.rows(), 2);
        part.row(1).fill(1.0);
        assert_eq!(matrix, [[0.0; 10].as_slice(), &[1.0; 2]].concat());
    }
}
