//! Attention over short sequences, one head after another, each in the first-level cache.
//!
//! A general matrix product takes longer to prepare such small matrices than to multiply them. Here
//! rows are padded to whole vectors, so that no loop has a remainder. Scores have no cap.

use std::iter::zip;

use burn::tensor::TensorData;

use super::inputs::{Inputs, Mask, Rows, Sizes, heads_inside};
use super::padded::{PaddedMatrix, ROWS, product, put};
use super::softmax::{normalise, shift, softmax_gradient};
use crate::ops::attention::scoring::Scoring;
use crate::ops::cpu::{FlexTensor, LANES, exp, run, zeros};

/// The output, and the weights with padded rows.
pub(super) fn forward(inputs: &Inputs, mask: &Mask<'_>) -> (FlexTensor, FlexTensor) {
    let sizes = inputs.sizes;
    let texts = Texts::new(inputs);
    let mut output = zeros(sizes.batch * sizes.query_elements(sizes.d_value));
    let mut weights = zeros(sizes.batch * sizes.weight_elements());
    let tasks = zip(
        output.chunks_mut(sizes.query_elements(sizes.d_value).max(1)),
        weights.chunks_mut(sizes.weight_elements().max(1)),
    );
    run(
        sizes.work(),
        tasks.enumerate(),
        #[inline(always)]
        |(batch, (output, weights))| texts.attend(batch, mask, output, weights),
    );
    let weights_shape = [sizes.batch, sizes.weight_elements()];
    (
        heads_inside(
            output,
            [sizes.seq_q, sizes.heads(), sizes.d_value],
            sizes.batch,
        ),
        FlexTensor::from_data(TensorData::new(weights, weights_shape)),
    )
}

/// The gradients of queries, keys and values, as far as they are needed.
pub(super) fn gradients(
    inputs: &Inputs,
    weights: &FlexTensor,
    output: &FlexTensor,
    needs_grad: [bool; 3],
) -> [Option<FlexTensor>; 3] {
    let sizes = inputs.sizes;
    let texts = Texts::new(inputs);
    let shapes = sizes.input_shapes();
    let lengths = shapes.map(|shape| shape.iter().product::<usize>());
    let mut gradients: [Option<Vec<f32>>; 3] =
        std::array::from_fn(|input| needs_grad[input].then(|| zeros(sizes.batch * lengths[input])));
    let output = Rows::new(output, output.storage());
    let weights: &[f32] = weights.storage();
    let [queries, keys, values] = &mut gradients;
    let tasks = zip(
        weights.chunks(sizes.weight_elements().max(1)),
        zip(
            texts_of(queries, lengths[0]),
            zip(texts_of(keys, lengths[1]), texts_of(values, lengths[2])),
        ),
    );
    run(
        sizes.work(),
        tasks.enumerate(),
        #[inline(always)]
        |(batch, (weights, (queries, (keys, values))))| {
            texts.differentiate(batch, weights, &output, [queries, keys, values]);
        },
    );
    std::array::from_fn(|input| {
        let gradient = gradients[input].take();
        gradient.map(|gradient| heads_inside(gradient, shapes[input], sizes.batch))
    })
}

/// The part of each text; `None` for each if there are no values.
fn texts_of(
    values: &mut Option<Vec<f32>>,
    length: usize,
) -> impl Iterator<Item = Option<&mut [f32]>> {
    let values = values.as_deref_mut().unwrap_or_default();
    let mut texts = values.chunks_mut(length.max(1));
    std::iter::repeat_with(move || texts.next())
}

impl Sizes {
    /// Elements of one text with one row of `width` for each query and head.
    fn query_elements(self, width: usize) -> usize {
        self.seq_q * self.heads() * width
    }

    fn weight_elements(self) -> usize {
        let rows = self.rows().next_multiple_of(ROWS);
        self.kv_heads * rows * self.seq_k.next_multiple_of(LANES)
    }
}

/// The inputs of all texts.
struct Texts<'a> {
    queries: Rows<'a, f32>,
    keys: Rows<'a, f32>,
    values: Rows<'a, f32>,
    scoring: Scoring,
    sizes: Sizes,
}

impl<'a> Texts<'a> {
    fn new(inputs: &'a Inputs) -> Self {
        let rows = |x: &'a FlexTensor| Rows::new(x, x.storage());
        Self {
            queries: rows(&inputs.queries),
            keys: rows(&inputs.keys),
            values: rows(&inputs.values),
            scoring: inputs.scoring,
            sizes: inputs.sizes,
        }
    }

    /// One text: all its heads, one after the other.
    #[inline(always)]
    fn attend(&self, batch: usize, mask: &Mask<'_>, output: &mut [f32], weights: &mut [f32]) {
        let sizes = self.sizes;
        let (rows, seq_k) = (sizes.rows(), sizes.seq_k);
        let mut queries = PaddedMatrix::zeros(rows, sizes.d_head);
        let mut keys = PaddedMatrix::zeros(sizes.d_head, seq_k);
        let mut values = PaddedMatrix::zeros(seq_k, sizes.d_value);
        let mut scores = PaddedMatrix::zeros(rows, seq_k);
        let weights = weights.chunks_mut(scores.flat().len().max(1));
        for (head, weights) in weights.enumerate() {
            queries.fill(|row| self.queries.at(self.query_place(batch, head, row)));
            keys.fill_transposed(|key| self.keys.at([batch, head, key]));
            values.fill(|key| self.values.at([batch, head, key]));
            product(queries.view(), &keys, |row, block, sums| {
                scores.set(row, block, sums);
            });
            for row in 0..rows {
                let hidden = mask.row(batch, row % sizes.seq_q);
                shift(scores.row_mut(row), hidden, self.scoring.scale);
            }
            for score in scores.flat_mut() {
                *score = exp(*score);
            }
            for row in 0..rows {
                normalise(scores.row_mut(row));
            }
            weights.copy_from_slice(scores.flat());
            product(scores.view(), &values, |row, block, sums| {
                put(
                    self.query_row(output, head, row, sizes.d_value),
                    block,
                    sums,
                );
            });
        }
    }

    /// One text: from the weights and the gradient of the output, the gradients of queries, keys
    /// and values that have a place.
    #[inline(always)]
    fn differentiate(
        &self,
        batch: usize,
        weights: &[f32],
        output: &Rows<'_, f32>,
        [mut by_queries, mut by_keys, mut by_values]: [Option<&mut [f32]>; 3],
    ) {
        let sizes = self.sizes;
        let (rows, seq_k) = (sizes.rows(), sizes.seq_k);
        let mut queries = PaddedMatrix::zeros(rows, sizes.d_head);
        let mut keys = PaddedMatrix::zeros(seq_k, sizes.d_head);
        let mut values = PaddedMatrix::zeros(sizes.d_value, seq_k);
        let mut by_output = PaddedMatrix::zeros(rows, sizes.d_value);
        let mut seen = PaddedMatrix::zeros(rows, seq_k);
        let mut scores = PaddedMatrix::zeros(rows, seq_k);
        let weights = weights.chunks(scores.flat().len().max(1));
        for (head, weights) in weights.enumerate() {
            by_output.fill(|row| output.at(self.query_place(batch, head, row)));
            seen.flat_mut().copy_from_slice(weights);
            if let Some(by_values) = &mut by_values {
                product(seen.transposed(), &by_output, |key, block, sums| {
                    put(
                        self.key_row(by_values, head, key, sizes.d_value),
                        block,
                        sums,
                    );
                });
            }
            if by_queries.is_none() && by_keys.is_none() {
                continue;
            }
            values.fill_transposed(|key| self.values.at([batch, head, key]));
            product(by_output.view(), &values, |row, block, sums| {
                scores.set(row, block, sums);
            });
            for row in 0..rows {
                softmax_gradient(scores.row_mut(row), seen.row(row), self.scoring.scale);
            }
            if let Some(by_keys) = &mut by_keys {
                queries.fill(|row| self.queries.at(self.query_place(batch, head, row)));
                product(scores.transposed(), &queries, |key, block, sums| {
                    put(self.key_row(by_keys, head, key, sizes.d_head), block, sums);
                });
            }
            if let Some(by_queries) = &mut by_queries {
                keys.fill(|key| self.keys.at([batch, head, key]));
                product(scores.view(), &keys, |row, block, sums| {
                    put(
                        self.query_row(by_queries, head, row, sizes.d_head),
                        block,
                        sums,
                    );
                });
            }
        }
    }

    /// The place of the query of a row of scores.
    #[inline(always)]
    fn query_place(&self, batch: usize, kv_head: usize, row: usize) -> [usize; 3] {
        let (in_group, position) = (row / self.sizes.seq_q, row % self.sizes.seq_q);
        [batch, kv_head * self.sizes.group + in_group, position]
    }

    /// The same place in one text of a result.
    #[inline(always)]
    fn query_row<'b>(
        &self,
        text: &'b mut [f32],
        kv_head: usize,
        row: usize,
        width: usize,
    ) -> &'b mut [f32] {
        let [_, head, position] = self.query_place(0, kv_head, row);
        &mut text[(position * self.sizes.heads() + head) * width..][..width]
    }

    #[inline(always)]
    fn key_row<'b>(
        &self,
        text: &'b mut [f32],
        head: usize,
        key: usize,
        width: usize,
    ) -> &'b mut [f32] {
        &mut text[(key * self.sizes.kv_heads + head) * width..][..width]
    }
}
