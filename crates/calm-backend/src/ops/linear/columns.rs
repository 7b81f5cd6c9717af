//! A product cut into bands of outputs, for one thread each.

use std::marker::PhantomData;

/// Part of a product with a stored matrix: some outputs of some rows.
pub(super) struct Band<'a> {
    /// `[rows, d_input]`.
    pub(super) x: &'a [f32],
    /// `[outputs, d_input]`.
    pub(super) weight: &'a [f32],
    pub(super) d_input: usize,
    /// `[rows, outputs]`.
    pub(super) output: Columns<'a>,
}

impl Band<'_> {
    /// Some terms of a row.
    #[inline(always)]
    pub(super) fn x(&self, row: usize, first: usize, depth: usize) -> &[f32] {
        &self.x[row * self.d_input + first..][..depth]
    }

    /// The weights of these terms for an output.
    #[inline(always)]
    pub(super) fn weights(&self, output: usize, first: usize, depth: usize) -> &[f32] {
        &self.weight[output * self.d_input + first..][..depth]
    }
}

/// Some columns of a matrix in row-major order.
pub(super) struct Columns<'a> {
    start: *mut f32,
    rows: usize,
    /// From a row to the next.
    stride: usize,
    width: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

#[expect(unsafe_code, reason = "pointers are not sent by themselves")]
// SAFETY: It is a borrow of numbers that nobody else can reach, as `&mut [f32]` is.
unsafe impl Send for Columns<'_> {}

impl<'a> Columns<'a> {
    /// Cuts a matrix of so many columns into bands of `width`, the last one perhaps narrower.
    pub(super) fn split(
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

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    #[inline(always)]
    pub(super) fn row(&mut self, row: usize) -> &mut [f32] {
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
}
