//! Products of very few rows with a row-major matrix `[d_input, d_output]`, the layout of trained
//! weights: multiples of its rows are added up. Memory is the limit.

use std::iter::zip;

use super::transposed::TASK_WEIGHTS;
use crate::ops::cpu::run;

/// Most rows for which this is faster than a general product.
pub(super) const MOST_ROWS: usize = 4;

/// Rows of the matrix that are read side by side: memory is faster with several streams.
const STREAMS: usize = 8;

/// `output = x · weight`, the same to the last bit on any number of threads.
///
/// # Shapes
///
/// - `x`: `[rows, d_input]`
/// - `weight`: `[d_input, d_output]`
/// - `output`: `[rows, d_output]`
///
/// None of them is empty.
pub(super) fn product(x: &[f32], weight: &[f32], d_input: usize, output: &mut [f32]) {
    let (rows, d_output) = (x.len() / d_input, weight.len() / d_input);
    assert_eq!(x.len(), rows * d_input, "whole rows");
    assert_eq!(weight.len(), d_output * d_input, "whole rows of weights");
    assert_eq!(output.len(), rows * d_output, "an output of each for each");
    let inputs = (TASK_WEIGHTS / d_output).max(1).next_multiple_of(STREAMS);
    let mut sums = vec![0.0; d_input.div_ceil(inputs) * output.len()];
    let tasks = zip(
        sums.chunks_mut(output.len()),
        weight.chunks(inputs * d_output),
    );
    run(
        rows * weight.len(),
        tasks.enumerate(),
        #[inline(always)]
        |(task, (sums, weight))| {
            for (x, sums) in zip(x.chunks(d_input), sums.chunks_mut(d_output)) {
                add_multiples(sums, &x[task * inputs..], weight);
            }
        },
    );
    output.copy_from_slice(&sums[..output.len()]);
    for sums in sums.chunks(output.len()).skip(1) {
        zip(&mut *output, sums).for_each(|(output, sum)| *output += sum);
    }
}

/// Adds `Σ xᵢ weightᵢ` over the rows of `weight`.
#[inline(always)]
fn add_multiples(sums: &mut [f32], x: &[f32], weight: &[f32]) {
    let width = sums.len();
    for (x, weight) in zip(x.chunks(STREAMS), weight.chunks(STREAMS * width)) {
        match x.first_chunk() {
            Some(x) if weight.len() == STREAMS * width => add::<STREAMS>(sums, x, weight),
            _ => {
                for (x, weight) in zip(x, weight.chunks(width)) {
                    add(sums, &[*x], weight);
                }
            }
        }
    }
}

#[inline(always)]
fn add<const ROWS: usize>(sums: &mut [f32], x: &[f32; ROWS], weight: &[f32]) {
    let width = sums.len();
    let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &weight[row * width..][..width]);
    for (column, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for (x, row) in zip(x, rows) {
            total += x * row[column];
        }
        *sum = total;
    }
}
