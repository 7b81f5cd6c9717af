//! Attention of one query for each head, as in decoding: keys and values are read once, in place.

use std::iter::zip;

use burn::tensor::TensorData;

use super::inputs::{Inputs, Mask, Rows};
use super::softmax::{normalise, shift};
use crate::ops::cpu::{FlexTensor, exp, run, sum};

pub(super) fn forward(inputs: &Inputs, mask: &Mask<'_>) -> FlexTensor {
    let sizes = inputs.sizes;
    let rows = |x| Rows::new(x, FlexTensor::storage(x));
    let (queries, keys, values) = (
        rows(&inputs.queries),
        rows(&inputs.keys),
        rows(&inputs.values),
    );
    let biases = inputs.biases();
    let heads = sizes.kv_heads * sizes.group;
    let mut output = vec![0.0; sizes.batch * heads * sizes.d_value];
    let elements = sizes.batch * sizes.kv_heads * sizes.seq_k * (sizes.d_head + sizes.d_value);
    let tasks = output.chunks_mut((sizes.group * sizes.d_value).max(1));
    run(
        elements,
        tasks.enumerate(),
        #[inline(always)]
        |(task, output)| {
            let (batch, kv_head) = (task / sizes.kv_heads, task % sizes.kv_heads);
            let hidden = mask.row(batch, 0);
            let seen = || zip(0.., hidden).filter(|(_, hidden)| **hidden == 0);
            let mut weights = vec![0.0; sizes.group * sizes.seq_k];
            for (key, _) in seen() {
                let place = keys.at([batch, kv_head, key]);
                for member in 0..sizes.group {
                    let query = queries.at([batch, kv_head * sizes.group + member, 0]);
                    weights[member * sizes.seq_k + key] = sum(query, place, |q, k| q * k);
                }
            }
            for (member, weights) in weights.chunks_mut(sizes.seq_k.max(1)).enumerate() {
                let head = [batch, kv_head * sizes.group + member];
                let biases = biases.as_ref().map(|biases| biases.of_head(head));
                let scale = inputs.scoring.finish(weights, biases);
                shift(weights, hidden, scale);
                for weight in &mut *weights {
                    *weight = exp(*weight);
                }
                normalise(weights);
            }
            for (key, _) in seen() {
                let value = values.at([batch, kv_head, key]);
                for (member, output) in output.chunks_mut(sizes.d_value.max(1)).enumerate() {
                    let weight = weights[member * sizes.seq_k + key];
                    for (output, value) in zip(output, value) {
                        *output += weight * value;
                    }
                }
            }
        },
    );
    let shape = [sizes.batch, heads, 1, sizes.d_value];
    FlexTensor::from_data(TensorData::new(output, shape))
}
