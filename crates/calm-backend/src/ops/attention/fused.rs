//! Attention with its own gradient on the processor.

use std::iter::zip;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::tensor::BoolTensor;
use burn::tensor::TensorData;

use super::super::extension::Saved;
use super::super::kernel::{contiguous, max, sum, tanh};
use super::super::matmul::Matrix;
use super::super::processor::FlexTensor;
use super::tiled::RowSoftmax;
use super::{SHORT, Scoring, small, tiled};

/// What attention reads, checked: shapes agree, and the last axis of each tensor is adjacent in
/// memory.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) queries: FlexTensor,
    pub(super) keys: FlexTensor,
    pub(super) values: FlexTensor,
    pub(super) scoring: Scoring,
    pub(super) sizes: Sizes,
}

/// The sizes of all axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) kv_heads: usize,
    /// Query heads for each key-value head.
    pub(super) group: usize,
    pub(super) seq_q: usize,
    pub(super) seq_k: usize,
    pub(super) d_head: usize,
    pub(super) d_value: usize,
}

impl Sizes {
    /// Rows of scores of one key-value head: the query heads of its group, one below the other.
    pub(super) fn rows(self) -> usize {
        self.group * self.seq_q
    }

    /// Query heads.
    pub(super) fn heads(self) -> usize {
        self.kv_heads * self.group
    }

    /// Positions, heads and width of queries, keys and values.
    pub(super) fn input_shapes(self) -> [[usize; 3]; 3] {
        [
            [self.seq_q, self.heads(), self.d_head],
            [self.seq_k, self.kv_heads, self.d_head],
            [self.seq_k, self.kv_heads, self.d_value],
        ]
    }

    /// Elements that a pass over one matrix would touch, in units of which threads are worth it.
    pub(super) fn work(self) -> usize {
        self.batch * self.heads() * self.seq_q * (self.seq_k + self.d_head)
    }

    fn new(queries: &FlexTensor, keys: &FlexTensor, values: &FlexTensor) -> Self {
        let [batch, heads, seq_q, d_head] = queries.layout().shape().dims();
        let [batch_k, kv_heads, seq_k, d_key] = keys.layout().shape().dims();
        let [batch_v, heads_v, seq_v, d_value] = values.layout().shape().dims();
        assert!(
            heads.is_multiple_of(kv_heads),
            "{kv_heads} key-value heads for {heads} heads"
        );
        assert_eq!([batch_k, d_key], [batch, d_head], "keys fit the queries");
        assert_eq!(
            [batch_v, heads_v, seq_v],
            [batch, kv_heads, seq_k],
            "one value for each key"
        );
        Self {
            batch,
            kv_heads,
            group: heads / kv_heads,
            seq_q,
            seq_k,
            d_head,
            d_value,
        }
    }
}

/// The inputs, and what is known of the weights.
#[derive(Debug, Clone)]
pub(in super::super) struct Weighted {
    inputs: Inputs,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    /// The weights.
    Kept(FlexTensor),
    /// What they are computed from again.
    Tiled {
        masked: BoolTensor<Flex>,
        softmaxes: Arc<[RowSoftmax]>,
    },
}

impl Inputs {
    /// The inputs and their mask, checked.
    pub(super) fn new(
        tensors: [FlexTensor; 3],
        masked: BoolTensor<Flex>,
        scoring: Scoring,
    ) -> (Self, BoolTensor<Flex>) {
        let [queries, keys, values] = &tensors;
        let sizes = Sizes::new(queries, keys, values);
        let [queries, keys, values] = tensors.map(adjacent);
        let inputs = Self {
            queries,
            keys,
            values,
            scoring,
            sizes,
        };
        (inputs, adjacent(masked))
    }

    /// Whether [`tiled`] is for them rather than [`small`].
    pub(super) fn are_large(&self) -> bool {
        let is_long = self.sizes.rows().max(self.sizes.seq_k) > SHORT;
        self.sizes.seq_k > 0 && (is_long || self.scoring.cap.is_some())
    }
}

pub(in super::super) fn forward(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    scoring: Scoring,
) -> (FlexTensor, Weighted) {
    let (inputs, masked) = Inputs::new([queries, keys, values], masked, scoring);
    let mask = Mask::new(&masked, inputs.sizes);
    let (output, weights) = if inputs.are_large() {
        let (output, softmaxes) = tiled::forward(&inputs, &mask);
        let softmaxes = softmaxes.into();
        (output, Weights::Tiled { masked, softmaxes })
    } else {
        let (output, weights) = small::forward(&inputs, &mask);
        (output, Weights::Kept(weights))
    };
    (output, Weighted { inputs, weights })
}

impl Saved<Flex, 3> for Weighted {
    fn gradients(self, output: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (inputs, output) = (&self.inputs, adjacent(output));
        match &self.weights {
            Weights::Kept(weights) => small::gradients(inputs, weights, &output, wanted),
            Weights::Tiled { masked, softmaxes } => {
                let mask = Mask::new(masked, inputs.sizes);
                tiled::gradients(inputs, &mask, softmaxes, &output, wanted)
            }
        }
    }
}

/// Elements of the last axis side by side, the other axes in any order: nothing is copied for
/// heads that were split off, nor for a mask that was expanded.
fn adjacent(x: FlexTensor) -> FlexTensor {
    match x.layout().strides() {
        [a, b, c, 1] if [a, b, c].iter().all(|stride| **stride >= 0) => x,
        _ => contiguous(x),
    }
}

/// A tensor `[batch, heads, seq, width]` that lies in memory as `[batch, seq, heads, width]`, so
/// that nothing is copied when the caller joins the heads.
pub(super) fn heads_inside(
    values: Vec<f32>,
    [seq, heads, width]: [usize; 3],
    batch: usize,
) -> FlexTensor {
    let x = FlexTensor::from_data(TensorData::new(values, [batch, seq, heads, width]));
    let layout = x.layout().transpose(1, 2);
    x.with_layout(layout)
}

/// The rows of a tensor with four axes, wherever they lie.
pub(super) struct Rows<'a, T> {
    values: &'a [T],
    start: usize,
    strides: [isize; 3],
    width: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `values` is the storage of `x`.
    pub(super) fn new(x: &FlexTensor, values: &'a [T]) -> Self {
        let layout = x.layout();
        Self {
            values,
            start: layout.start_offset(),
            strides: std::array::from_fn(|axis| layout.strides()[axis]),
            width: layout.shape()[3],
        }
    }

    #[inline(always)]
    pub(super) fn at(&self, place: [usize; 3]) -> &'a [T] {
        let [a, b, c] = self.strides;
        let offset = place[0] as isize * a + place[1] as isize * b + place[2] as isize * c;
        &self.values[self.start.strict_add_signed(offset)..][..self.width]
    }
}

impl<'a> Rows<'a, f32> {
    /// Some rows of one head of a text.
    pub(super) fn matrix(&self, [batch, head]: [usize; 2], rows: Range<usize>) -> Matrix<'a> {
        let first = [batch, head, rows.start];
        let offsets = zip(first, self.strides).map(|(at, stride)| at * stride.unsigned_abs());
        let values = &self.values[self.start + offsets.sum::<usize>()..];
        let stride = self.strides[2].unsigned_abs();
        Matrix::new(values, [rows.len(), self.width], [stride, 1])
    }
}

/// What each row of scores may not see.
pub(super) struct Mask<'a> {
    hidden: Rows<'a, u8>,
    pub(super) batches: usize,
    rows: usize,
}

impl<'a> Mask<'a> {
    pub(super) fn new(masked: &'a BoolTensor<Flex>, sizes: Sizes) -> Self {
        let [batches, heads, rows, seq_k] = masked.layout().shape().dims();
        assert!(
            batches == 1 || batches == sizes.batch,
            "a mask for each text"
        );
        assert!(rows == 1 || rows == sizes.seq_q, "a mask for each query");
        assert_eq!([heads, seq_k], [1, sizes.seq_k], "a mask for each key");
        Self {
            hidden: Rows::new(masked, masked.storage()),
            batches,
            rows,
        }
    }

    /// For one row of scores; every query head of a group sees the same.
    #[inline(always)]
    pub(super) fn row(&self, batch: usize, row: usize) -> &'a [u8] {
        self.hidden.at([batch % self.batches, 0, row % self.rows])
    }
}

impl Scoring {
    /// Bounds products of queries and keys, if there is a cap, and tells what they are still to be
    /// multiplied by.
    #[inline(always)]
    pub(super) fn bound(self, products: &mut [f32]) -> f32 {
        let Some(cap) = self.cap else {
            return self.scale;
        };
        for product in products {
            *product = cap * tanh(*product * self.scale / cap);
        }
        1.0
    }

    /// What a cap multiplies the gradients of bounded scores by.
    #[inline(always)]
    pub(super) fn slopes(self, scores: &[f32], slopes: &mut Vec<f32>) {
        slopes.clear();
        if let Some(cap) = self.cap {
            let slope = |score: &f32| 1.0 - (score / cap) * (score / cap);
            slopes.extend(scores.iter().map(slope));
        }
    }
}

/// Scales the scores, hides what is hidden, takes off the largest, and tells it. Scores beyond the
/// mask are no scores at all and come out as -∞.
#[inline(always)]
pub(super) fn shift(scores: &mut [f32], hidden: &[u8], scale: f32) -> f32 {
    let (seen, beyond) = scores.split_at_mut(hidden.len());
    for (score, hidden) in zip(seen, hidden) {
        *score = if *hidden == 0 {
            *score * scale
        } else {
            f32::NEG_INFINITY
        };
    }
    beyond.fill(f32::NEG_INFINITY);
    // The bound only matters for rows that see nothing: -∞ - (-∞).
    let largest = max(scores).max(f32::MIN);
    for score in scores {
        *score -= largest;
    }
    largest
}

/// Makes the exponentials of a row sum to one, and tells what they were multiplied by.
#[inline(always)]
pub(super) fn normalise(weights: &mut [f32]) -> f32 {
    // The bound only matters for rows that see nothing: 0 / 0.
    let factor = sum(weights, weights, |weight, _| weight)
        .max(f32::MIN_POSITIVE)
        .recip();
    for weight in weights {
        *weight *= factor;
    }
    factor
}

/// The gradient of a row of weights becomes that of its scores before scaling:
/// `scale · weight · (gradient - Σ gradient · weight)`.
#[inline(always)]
pub(super) fn softmax_gradient(gradient: &mut [f32], weights: &[f32], scale: f32) {
    let mean = sum(gradient, weights, |a, b| a * b);
    for (gradient, weight) in zip(gradient, weights) {
        *gradient = scale * weight * (*gradient - mean);
    }
}
