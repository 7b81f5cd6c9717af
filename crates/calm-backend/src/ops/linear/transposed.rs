//! Products with a transposed matrix `[d_output, d_input]`, the layout of checkpoints, band by
//! band: of few rows, where a general product would first transpose the whole matrix, and with
//! matrices in half precision, of which one band at a time is widened to `f32`.

use std::iter::zip;

use burn::tensor::{Element, bf16, f16};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;

use super::gemv::{self, Band, DotProducts};
use crate::ops::cpu::matmul::{Matrix, Threads, multiply};
use crate::ops::cpu::{Columns, dispatch, each};

/// Weights that a task for few rows reads: they stay in the second-level cache for the next rows.
pub(super) const TASK_WEIGHTS: usize = 1 << 14;

/// Outputs of a task for many rows. It does not depend on the number of threads, so neither do
/// sums.
const GEMM_OUTPUTS: usize = 256;

/// Most outputs that are always computed as dot products: a general product of at most 256 sums
/// adds its terms in yet another order.
const GEMV_OUTPUTS: usize = 2;

/// Whether dot products are faster than a general product.
pub(super) fn suits_gemv(rows: usize, d_output: usize) -> bool {
    rows < super::BATCH_INVARIANT_ROWS || d_output <= GEMV_OUTPUTS
}

/// A type that weights are stored in.
pub(super) trait Weight: Element + Pod {
    /// The weights as `f32`, in the buffer if they are of another type.
    fn widen<'a>(weights: &'a [Self], buffer: &'a mut Vec<f32>) -> &'a [f32];
}

impl Weight for f32 {
    fn widen<'a>(weights: &'a [Self], _: &'a mut Vec<f32>) -> &'a [f32] {
        weights
    }
}

impl Weight for bf16 {
    fn widen<'a>(weights: &'a [Self], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        let wide = |weight: &Self| f32::from_bits(u32::from(weight.to_bits()) << 16);
        buffer.extend(weights.iter().map(wide));
        buffer
    }
}

impl Weight for f16 {
    fn widen<'a>(weights: &'a [Self], buffer: &'a mut Vec<f32>) -> &'a [f32] {
        buffer.resize(weights.len(), 0.0);
        weights.convert_to_f32_slice(buffer);
        buffer
    }
}

/// `output = x · weightᵀ`, the same to the last bit on any number of threads.
///
/// # Shapes
///
/// - `x`: `[rows, d_input]`
/// - `weight`: `[d_output, d_input]`
/// - `output`: `[rows, d_output]`
///
/// None of them is empty.
pub(super) fn product<W: Weight>(x: &[f32], weight: &[W], d_input: usize, output: &mut [f32]) {
    let (rows, d_output) = (x.len() / d_input, weight.len() / d_input);
    assert_eq!(x.len(), rows * d_input, "whole rows");
    assert_eq!(weight.len(), d_output * d_input, "whole rows of weights");
    assert_eq!(output.len(), rows * d_output, "an output of each for each");
    let suits_gemv = suits_gemv(rows, d_output);
    let width = match suits_gemv {
        true => (TASK_WEIGHTS / d_input)
            .max(1)
            .next_multiple_of(gemv::OUTPUTS),
        false => GEMM_OUTPUTS,
    };
    let columns = Columns::split(output, d_output, width);
    each(
        rows * weight.len(),
        zip(columns, weight.chunks(width * d_input)),
        |(mut output, weight)| {
            let mut buffer = Vec::new();
            let weight = W::widen(weight, &mut buffer);
            if suits_gemv {
                let band = Band {
                    x,
                    weight,
                    d_input,
                    output,
                };
                dispatch(DotProducts(band));
            } else {
                let [x, weight] = [x, weight].map(|matrix| Matrix::in_rows(matrix, d_input));
                multiply(x, weight.transposed(), &mut output, false, Threads::One);
            }
        },
    );
}
