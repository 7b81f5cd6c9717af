//! Products with matrices as checkpoints store them, `[d_output, d_input]`, band by band: of few
//! rows, for which a general product turns the whole matrix first, and with matrices in half
//! precision, which are never there in `f32` as a whole.

use std::iter::zip;

use burn::tensor::{Element, bf16, f16};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;

use super::super::columns::Columns;
use super::super::kernel::{dispatch, each};
use super::super::matmul::{Matrix, Threads, multiply};
use super::few::{self, Band, DotProducts};

/// Weights that a task for few rows reads: they stay in the second-level cache for the next rows.
pub(super) const TASK_WEIGHTS: usize = 1 << 14;

/// Outputs of a task for many rows. The same on any number of threads: so are the sums then.
const OUTPUTS_OF_MANY: usize = 256;

/// So few outputs are always summed as for few rows: a general product has yet another order of
/// terms for up to 256 sums.
const FEW_OUTPUTS: usize = 2;

/// Whether dot products serve better than a general product.
pub(super) fn are_few(rows: usize, d_output: usize) -> bool {
    rows < super::ROWS_ALIKE || d_output <= FEW_OUTPUTS
}

/// A type that weights are stored in.
pub(super) trait Weight: Element + Pod {
    /// As `f32`, in the buffer if they are anything else.
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
    let is_few = are_few(rows, d_output);
    let width = match is_few {
        true => (TASK_WEIGHTS / d_input)
            .max(1)
            .next_multiple_of(few::OUTPUTS),
        false => OUTPUTS_OF_MANY,
    };
    let columns = Columns::split(output, d_output, width);
    each(
        rows * weight.len(),
        zip(columns, weight.chunks(width * d_input)),
        |(mut output, weight)| {
            let mut buffer = Vec::new();
            let weight = W::widen(weight, &mut buffer);
            if is_few {
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
