//! Attention over long sequences: Burn's matrix products over all heads, and one pass for all that
//! lies between two of them.

use std::iter::zip;

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;

use super::super::extension::FlexTensor;
use super::super::kernel::{contiguous, exp, run, task_of_rows};
use super::fused::{Inputs, Mask, Sizes, normalise, shift, softmax_gradient};

/// The output, and the weights as `[batch, kv_heads, rows, seq_k]`.
pub(super) fn forward(inputs: &Inputs, mask: &Mask<'_>) -> (FlexTensor, FlexTensor) {
    let queries = heads_to_rows(inputs.queries.clone(), inputs.sizes);
    let mut weights = Flex::float_matmul(queries, transposed(&inputs.keys));
    softmax(&mut weights, mask, inputs);
    let output = Flex::float_matmul(weights.clone(), inputs.values.clone());
    (rows_to_heads(output, inputs.sizes), weights)
}

/// Those of queries, keys and values, as far as they are wanted.
pub(super) fn gradients(
    inputs: Inputs,
    weights: &FlexTensor,
    output: FlexTensor,
    wanted: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let output = heads_to_rows(output, inputs.sizes);
    let values = wanted[2].then(|| Flex::float_matmul(transposed(weights), output.clone()));
    if !wanted[0] && !wanted[1] {
        return [None, None, values];
    }
    let mut scores = Flex::float_matmul(output, transposed(&inputs.values));
    softmax_gradients(&mut scores, weights, inputs.scale);
    let keys = wanted[1].then(|| {
        let queries = heads_to_rows(inputs.queries, inputs.sizes);
        Flex::float_matmul(transposed(&scores), queries)
    });
    let queries =
        wanted[0].then(|| rows_to_heads(Flex::float_matmul(scores, inputs.keys), inputs.sizes));
    [queries, keys, values]
}

/// Makes the query heads of a group further rows of one head, so that they meet their shared keys
/// in a single matrix product.
fn heads_to_rows(x: FlexTensor, sizes: Sizes) -> FlexTensor {
    if sizes.group == 1 {
        return x;
    }
    let width = x.layout().shape()[3];
    let x = contiguous(x);
    Flex::float_reshape(x, [sizes.batch, sizes.kv_heads, sizes.rows(), width].into())
}

fn rows_to_heads(x: FlexTensor, sizes: Sizes) -> FlexTensor {
    if sizes.group == 1 {
        return x;
    }
    let heads = sizes.kv_heads * sizes.group;
    let width = x.layout().shape()[3];
    Flex::float_reshape(x, [sizes.batch, heads, sizes.seq_q, width].into())
}

/// The last two axes swapped, a view.
fn transposed(x: &FlexTensor) -> FlexTensor {
    Flex::float_swap_dims(x.clone(), 2, 3)
}

/// Scores become weights: `softmax(scale · scores)` over the keys that are not hidden.
fn softmax(scores: &mut FlexTensor, mask: &Mask<'_>, inputs: &Inputs) {
    let (width, rows) = (inputs.sizes.seq_k, inputs.sizes.rows());
    let rows_of_text = inputs.sizes.kv_heads * rows;
    let scores: &mut [f32] = scores.storage_mut();
    let task = task_of_rows(width);
    run(
        scores.len(),
        scores.chunks_mut(task).enumerate(),
        #[inline(always)]
        |(index, scores)| {
            for (row, scores) in scores.chunks_mut(width).enumerate() {
                let row = index * (task / width) + row;
                let hidden = mask.row(row / rows_of_text, row % rows % inputs.sizes.seq_q);
                shift(scores, hidden, inputs.scale);
            }
            for score in &mut *scores {
                *score = exp(*score);
            }
            for row in scores.chunks_mut(width) {
                normalise(row);
            }
        },
    );
}

fn softmax_gradients(gradient: &mut FlexTensor, weights: &FlexTensor, scale: f32) {
    let width = weights.layout().shape()[3];
    let weights: &[f32] = weights.storage();
    let task = task_of_rows(width);
    let gradient: &mut [f32] = gradient.storage_mut();
    run(
        weights.len(),
        zip(gradient.chunks_mut(task), weights.chunks(task)),
        #[inline(always)]
        |(gradient, weights)| {
            for (gradient, weights) in zip(gradient.chunks_mut(width), weights.chunks(width)) {
                softmax_gradient(gradient, weights, scale);
            }
        },
    );
}
