//! Many rows by a stored matrix: parts of the matrix are turned into the order in which a product
//! needs them, which pays over the rows. Arithmetic is the limit.

use macerator::{Simd, Vector, WithSimd};

use super::columns::{Band, Columns};
use super::vector::{load, store, zero};

/// Terms that are summed before the sums go to memory.
const DEPTH: usize = 384;

/// Vectors of outputs that are summed at a time.
const VECTORS: usize = 2;

/// Outputs of a band: with [`DEPTH`] terms each, their weights fill half of a second-level cache.
pub(super) const OUTPUTS: usize = 384;

/// The product, over weights in panels of neighbouring outputs. In a panel the weights of one term
/// lie side by side.
pub(super) struct Panels<'a>(pub(super) Band<'a>);

impl WithSimd for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self) {
        // As many sums as there are registers for.
        match S::lanes32() {
            16 => self.sum::<S, 12>(),
            _ => self.sum::<S, 6>(),
        }
    }
}

impl Panels<'_> {
    #[inline(always)]
    fn sum<S: Simd, const ROWS: usize>(mut self) {
        let rows = self.0.output.rows();
        let whole = rows - rows % ROWS;
        let (mut panels, mut terms) = (Vec::new(), Vec::new());
        for first in (0..self.0.d_input).step_by(DEPTH) {
            let depth = DEPTH.min(self.0.d_input - first);
            self.fill::<S>(&mut panels, first, depth);
            for row in (0..whole).step_by(ROWS) {
                self.rows::<S, ROWS>(&panels, &mut terms, [row, first, depth]);
            }
            for row in whole..rows {
                self.rows::<S, 1>(&panels, &mut terms, [row, first, depth]);
            }
        }
    }

    /// Weights as `[panels, depth, width]`. What fills up the last panel is of no account.
    #[inline(always)]
    fn fill<S: Simd>(&self, panels: &mut Vec<f32>, first: usize, depth: usize) {
        let (outputs, width) = (self.0.output.width(), VECTORS * S::lanes32());
        panels.resize(outputs.next_multiple_of(width) * depth, 0.0);
        for (panel, weights) in panels.chunks_exact_mut(width * depth).enumerate() {
            let start = panel * width;
            let outputs = width.min(outputs - start);
            let whole = outputs - outputs % TURNED;
            for output in (0..whole).step_by(TURNED) {
                let rows = |index| self.0.weights(start + output + index, first, depth);
                turn::<TURNED>(weights, width, output, std::array::from_fn(rows));
            }
            for output in whole..outputs {
                let row = self.0.weights(start + output, first, depth);
                turn::<1>(weights, width, output, [row]);
            }
        }
    }

    /// Adds the terms from `first` on to all outputs of some rows.
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(
        &mut self,
        panels: &[f32],
        terms: &mut Vec<f32>,
        [row, first, depth]: [usize; 3],
    ) {
        terms.resize(depth * ROWS, 0.0);
        let rows = |index| self.0.x(row + index, first, depth);
        turn::<ROWS>(terms, ROWS, 0, std::array::from_fn(rows));
        let width = VECTORS * S::lanes32();
        for (panel, weights) in panels.chunks_exact(width * depth).enumerate() {
            let sums = sums::<S, ROWS>(terms, weights);
            put(&mut self.0.output, row, panel * width, first > 0, sums);
        }
    }
}

/// Rows that are turned at a time.
const TURNED: usize = 8;

/// Puts rows into a matrix as columns, from column `first` on.
#[inline(always)]
fn turn<const ROWS: usize>(matrix: &mut [f32], width: usize, first: usize, rows: [&[f32]; ROWS]) {
    let depth = matrix.len() / width;
    let rows = rows.map(|row| &row[..depth]);
    for (at, line) in matrix.chunks_exact_mut(width).enumerate().take(depth) {
        let line = &mut line[first..first + ROWS];
        for index in 0..ROWS {
            line[index] = rows[index][at];
        }
    }
}

/// `terms`: `[depth, ROWS]`, `weights`: `[depth, width]`.
#[inline(always)]
fn sums<S: Simd, const ROWS: usize>(
    terms: &[f32],
    weights: &[f32],
) -> [[Vector<S, f32>; VECTORS]; ROWS] {
    let lanes = S::lanes32();
    let (terms, _) = terms.as_chunks::<ROWS>();
    let mut sums = [[zero::<S>(); VECTORS]; ROWS];
    for (terms, weights) in terms.iter().zip(weights.chunks_exact(VECTORS * lanes)) {
        let weights: [_; VECTORS] =
            std::array::from_fn(|vector| load::<S>(weights, vector * lanes));
        for row in 0..ROWS {
            let term = S::typed(S::splat_f32(terms[row]));
            for vector in 0..VECTORS {
                sums[row][vector] = weights[vector].mul_add(term, sums[row][vector]);
            }
        }
    }
    sums
}

/// Puts sums into `output` from a row and column on, adding them if others are there already.
#[inline(always)]
fn put<S: Simd, const ROWS: usize>(
    output: &mut Columns<'_>,
    row: usize,
    column: usize,
    add: bool,
    sums: [[Vector<S, f32>; VECTORS]; ROWS],
) {
    let lanes = S::lanes32();
    for (index, sums) in sums.into_iter().enumerate() {
        let output = &mut output.row(row + index)[column..];
        for (vector, sums) in sums.into_iter().enumerate() {
            let at = vector * lanes;
            if at + lanes <= output.len() {
                let sums = if add {
                    load::<S>(output, at) + sums
                } else {
                    sums
                };
                store::<S>(output, at, sums);
            } else {
                put_some(output.get_mut(at..).unwrap_or_default(), add, sums);
            }
        }
    }
}

/// Of a vector that reaches beyond the last output.
#[inline(always)]
fn put_some<S: Simd>(output: &mut [f32], add: bool, sums: Vector<S, f32>) {
    let mut lanes = [0.0; 16];
    store::<S>(&mut lanes, 0, sums);
    for (output, sum) in output.iter_mut().zip(lanes) {
        *output = if add { *output + sum } else { sum };
    }
}
