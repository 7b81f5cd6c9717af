//! Products with matrices as checkpoints store them, `[d_output, d_input]`. Burn's turn the whole
//! matrix for every few rows.

use std::iter::zip;

use burn::tensor::{Element, bf16, f16};
use bytemuck::Pod;
use half::slice::HalfFloatSliceExt;
use macerator::AutoArch;

use super::super::kernel::each;
use super::columns::{Band, Columns};
use super::few::{self, DotProducts};
use super::many::{self, Panels};

/// From so many rows on, turning the matrix pays.
const MANY: usize = super::ROWS_ALIKE;

/// Weights that a task for few rows reads: they stay in the second-level cache for the next rows.
const TASK_WEIGHTS: usize = 1 << 16;

/// Terms that take as long as an element of other operations.
const TERMS_OF_AN_ELEMENT: usize = 64;

/// Outputs whose products are summed at the same time, on any processor.
const PANEL: usize = 32;

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
    let is_few = rows < MANY;
    let [rows, width] = if is_few {
        let width = (TASK_WEIGHTS / d_input).max(1);
        [rows, width.next_multiple_of(few::OUTPUTS)]
    } else {
        band_of_many(rows, d_output)
    };
    let parts = zip(x.chunks(rows * d_input), output.chunks_mut(rows * d_output));
    let bands = parts.flat_map(|(x, output)| {
        let columns = Columns::split(output, d_output, width);
        zip(columns, weight.chunks(width * d_input))
            .map(move |(output, weight)| (x, weight, output))
    });
    each(
        x.len() / d_input * weight.len() / TERMS_OF_AN_ELEMENT,
        bands,
        |(x, weight, output)| {
            let mut buffer = Vec::new();
            let weight = W::widen(weight, &mut buffer);
            let band = Band {
                x,
                weight,
                d_input,
                output,
            };
            match is_few {
                true => AutoArch::new().dispatch(DotProducts(band)),
                false => AutoArch::new().dispatch(Panels(band)),
            }
        },
    );
}

/// Rows and outputs of a task: whole panels, and as much for one thread as for the next.
fn band_of_many(rows: usize, d_output: usize) -> [usize; 2] {
    let threads = rayon::current_num_threads();
    let bands = d_output.div_ceil(many::OUTPUTS).next_multiple_of(threads);
    let bands = bands.min(d_output.div_ceil(PANEL));
    let parts = threads.div_ceil(bands);
    [
        rows.div_ceil(parts).max(MANY),
        d_output.div_ceil(bands).next_multiple_of(PANEL),
    ]
}
