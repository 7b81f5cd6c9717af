//! Small matrices whose rows are padded with zeros to whole vectors, and their product.

use crate::ops::cpu::LANES;

/// Rows that are multiplied at a time: enough independent sums to hide the latency of an addition.
pub(super) const ROWS: usize = 4;

/// A matrix padded to rows of whole vectors and to whole groups of rows.
pub(super) struct PaddedMatrix {
    lanes: Vec<[f32; LANES]>,
    rows: usize,
    columns: usize,
    /// Vectors of a row.
    blocks: usize,
}

/// A matrix to multiply from the left: as it is or transposed.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl PaddedMatrix {
    pub(super) fn zeros(rows: usize, columns: usize) -> Self {
        let blocks = columns.div_ceil(LANES);
        Self {
            lanes: vec![[0.0; LANES]; rows.next_multiple_of(ROWS) * blocks],
            rows,
            columns,
            blocks,
        }
    }

    /// All rows, one after the other.
    #[inline(always)]
    pub(super) fn flat(&self) -> &[f32] {
        self.lanes.as_flattened()
    }

    #[inline(always)]
    pub(super) fn flat_mut(&mut self) -> &mut [f32] {
        self.lanes.as_flattened_mut()
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &[f32] {
        self.lanes[row * self.blocks..][..self.blocks].as_flattened()
    }

    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        self.lanes[row * self.blocks..][..self.blocks].as_flattened_mut()
    }

    #[inline(always)]
    pub(super) fn set(&mut self, row: usize, block: usize, lanes: &[f32; LANES]) {
        self.lanes[row * self.blocks + block] = *lanes;
    }

    #[inline(always)]
    pub(super) fn fill<'a>(&mut self, row: impl Fn(usize) -> &'a [f32]) {
        for index in 0..self.rows {
            let columns = self.columns;
            self.row_mut(index)[..columns].copy_from_slice(row(index));
        }
    }

    #[inline(always)]
    pub(super) fn fill_transposed<'a>(&mut self, column: impl Fn(usize) -> &'a [f32]) {
        let width = self.blocks * LANES;
        for index in 0..self.columns {
            let places = self.flat_mut()[index..].iter_mut().step_by(width);
            for (to, from) in places.zip(column(index)) {
                *to = *from;
            }
        }
    }

    #[inline(always)]
    pub(super) fn view(&self) -> View<'_> {
        View {
            values: self.flat(),
            rows: self.rows,
            columns: self.columns,
            row_stride: self.blocks * LANES,
            column_stride: 1,
        }
    }

    #[inline(always)]
    pub(super) fn transposed(&self) -> View<'_> {
        View {
            values: self.flat(),
            rows: self.columns,
            columns: self.rows,
            row_stride: 1,
            column_stride: self.blocks * LANES,
        }
    }
}

/// `a b`: `put` gets row, block and lanes of each part of the product.
#[inline(always)]
pub(super) fn product(
    a: View<'_>,
    b: &PaddedMatrix,
    mut put: impl FnMut(usize, usize, &[f32; LANES]),
) {
    assert_eq!(a.columns, b.rows, "matrices fit");
    for block in 0..b.blocks {
        for row in (0..a.rows).step_by(ROWS) {
            let sums = sums(a, row, b, block);
            for (offset, sums) in sums.iter().enumerate().take(a.rows - row) {
                put(row + offset, block, sums);
            }
        }
    }
}

/// One block of the product for some rows from `row` on.
#[inline(always)]
fn sums(a: View<'_>, row: usize, b: &PaddedMatrix, block: usize) -> [[f32; LANES]; ROWS] {
    // Separate arrays: the compiler keeps those in registers.
    let [mut sums_0, mut sums_1, mut sums_2, mut sums_3] = [[0.0; LANES]; ROWS];
    let values = &a.values[row * a.row_stride..];
    for index in 0..a.columns {
        let b = &b.lanes[index * b.blocks + block];
        let values = &values[index * a.column_stride..][..(ROWS - 1) * a.row_stride + 1];
        let [a_0, a_1, a_2, a_3] = [0, 1, 2, 3].map(|offset| values[offset * a.row_stride]);
        for lane in 0..LANES {
            sums_0[lane] += a_0 * b[lane];
            sums_1[lane] += a_1 * b[lane];
            sums_2[lane] += a_2 * b[lane];
            sums_3[lane] += a_3 * b[lane];
        }
    }
    [sums_0, sums_1, sums_2, sums_3]
}

/// Copies the lanes that belong to a row without padding.
#[inline(always)]
pub(super) fn put(row: &mut [f32], block: usize, lanes: &[f32; LANES]) {
    let row = &mut row[block * LANES..];
    match row.first_chunk_mut() {
        Some(whole) => *whole = *lanes,
        None => row.copy_from_slice(&lanes[..row.len()]),
    }
}
