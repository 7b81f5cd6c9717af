//! Products of few rows with a transposed matrix, as dot products (GEMV). Every number of the
//! matrix is read once, in order: memory is the limit.

use macerator::{Simd, WithSimd, vload_unaligned};

use crate::ops::cpu::Columns;

/// Terms that are summed before moving on to the next outputs: those of all rows of a tile stay in
/// the first-level cache.
const DEPTH: usize = 512;

/// Rows that share each load of the matrix.
const ROWS: usize = 4;

/// Outputs of a tile on processors with enough registers for their sums.
pub(super) const OUTPUTS: usize = 6;

/// Part of a product: some outputs of all rows.
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
    fn x(&self, row: usize, first: usize, depth: usize) -> &[f32] {
        &self.x[row * self.d_input + first..][..depth]
    }

    /// The weights of these terms for an output.
    #[inline(always)]
    fn weights(&self, output: usize, first: usize, depth: usize) -> &[f32] {
        &self.weight[output * self.d_input + first..][..depth]
    }
}

/// The product, as dot products.
pub(super) struct DotProducts<'a>(pub(super) Band<'a>);

impl WithSimd for DotProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        match S::lanes32() {
            16 => self.sum::<S, OUTPUTS>(),
            _ => self.sum::<S, 3>(),
        }
    }
}

impl DotProducts<'_> {
    #[inline(always)]
    fn sum<S: Simd, const OUTPUTS: usize>(mut self) {
        let rows = self.0.output.rows();
        if rows == 1 {
            // The whole matrix as one stream.
            return self.rows::<S, 1, 8>(0, 0, self.0.d_input);
        }
        for first in (0..self.0.d_input).step_by(DEPTH) {
            let depth = DEPTH.min(self.0.d_input - first);
            for row in (0..rows).step_by(ROWS) {
                match rows - row {
                    1 => self.rows::<S, 1, OUTPUTS>(row, first, depth),
                    2 => self.rows::<S, 2, OUTPUTS>(row, first, depth),
                    3 => self.rows::<S, 3, OUTPUTS>(row, first, depth),
                    _ => self.rows::<S, ROWS, OUTPUTS>(row, first, depth),
                }
            }
        }
    }

    /// Adds the terms from `first` on to all outputs of some rows.
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize, const OUTPUTS: usize>(
        &mut self,
        row: usize,
        first: usize,
        depth: usize,
    ) {
        let outputs = self.0.output.width();
        let whole = outputs - outputs % OUTPUTS;
        for output in (0..whole).step_by(OUTPUTS) {
            self.tile::<S, ROWS, OUTPUTS>([row, output], first, depth);
        }
        for output in whole..outputs {
            self.tile::<S, ROWS, 1>([row, output], first, depth);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const OUTPUTS: usize>(
        &mut self,
        [row, output]: [usize; 2],
        first: usize,
        depth: usize,
    ) {
        let x = std::array::from_fn(|index| self.0.x(row + index, first, depth));
        let weights = std::array::from_fn(|index| self.0.weights(output + index, first, depth));
        let sums = dot_products::<S, ROWS, OUTPUTS>(x, weights, depth, self.0.d_input);
        for (index, sums) in sums.iter().enumerate() {
            let outputs = &mut self.0.output.row(row + index)[output..output + OUTPUTS];
            for (output, sum) in outputs.iter_mut().zip(sums) {
                *output = if first == 0 { *sum } else { *output + sum };
            }
        }
    }
}

/// Dot products of each row of `x` with each row of `weights`, all of one length. The weights of
/// neighbouring outputs are `d_input` apart.
#[inline(always)]
fn dot_products<S: Simd, const ROWS: usize, const OUTPUTS: usize>(
    x: [&[f32]; ROWS],
    weights: [&[f32]; OUTPUTS],
    depth: usize,
    d_input: usize,
) -> [[f32; OUTPUTS]; ROWS] {
    assert!(x.iter().chain(&weights).all(|row| row.len() == depth));
    let whole = depth - depth % S::lanes32();
    let mut sums = [[S::typed(S::splat_f32(0.0)); OUTPUTS]; ROWS];
    let (x_at, weights_at) = (x.map(<[f32]>::as_ptr), weights.map(<[f32]>::as_ptr));
    let mut first = 0;
    while first < whole {
        // Checked bounds would spill the sums out of the registers.
        #[expect(unsafe_code, reason = "vectors are loaded through pointers")]
        // SAFETY: Every row has `depth` numbers, and `first + lanes <= whole <= depth`.
        let load = |row: *const f32| unsafe { vload_unaligned::<S, f32>(row.add(first)) };
        let x = x_at.map(load);
        for output in 0..OUTPUTS {
            // Prefetch the weights of the next tile while these are multiplied.
            prefetch(weights_at[output].wrapping_add(first + OUTPUTS * d_input));
            let weights = load(weights_at[output]);
            for row in 0..ROWS {
                sums[row][output] = x[row].mul_add(weights, sums[row][output]);
            }
        }
        first += S::lanes32();
    }
    // Loops, since closures would keep the sums in memory.
    let mut totals = [[0.0; OUTPUTS]; ROWS];
    for row in 0..ROWS {
        for output in 0..OUTPUTS {
            let mut total = sums[row][output].reduce_add();
            for at in whole..depth {
                total += x[row][at] * weights[output][at];
            }
            totals[row][output] = total;
        }
    }
    totals
}

/// Prefetches an address; beyond the end of the matrix that has no effect.
#[inline(always)]
fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "an instruction of the processor")]
        // SAFETY: A prefetch has no visible effect and does not fault, whatever the address.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
