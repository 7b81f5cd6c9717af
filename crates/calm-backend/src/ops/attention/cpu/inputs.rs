//! The inputs of attention: their sizes, their rows and their mask.

use std::iter::zip;
use std::ops::Range;

use burn::backend::Flex;
use burn::backend::tensor::BoolTensor;
use burn::tensor::TensorData;

use crate::ops::attention::scoring::{SHORT, Scoring};
use crate::ops::cpu::matmul::Matrix;
use crate::ops::cpu::{FlexTensor, contiguous};

/// The inputs of attention, checked: their shapes agree, and the last axis of each tensor is
/// adjacent in memory.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    pub(super) queries: FlexTensor,
    pub(super) keys: FlexTensor,
    pub(super) values: FlexTensor,
    pub(super) bias: Option<FlexTensor>,
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

    /// Elements that one pass over the scores touches: the measure of whether threads pay.
    pub(super) fn work(self) -> usize {
        self.batch * self.heads() * self.seq_q * (self.seq_k + self.d_head)
    }

    fn assert_biases(self, bias: &FlexTensor) {
        let [batches, heads, rows, seq_k] = bias.layout().shape().dims();
        assert!(
            batches == 1 || batches == self.batch,
            "biases for each text"
        );
        assert_eq!(
            [heads, rows, seq_k],
            [self.heads(), 1, self.seq_k],
            "a bias for each head and key"
        );
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

impl Inputs {
    /// The inputs and their mask, checked.
    pub(super) fn new(
        tensors: [FlexTensor; 3],
        masked: BoolTensor<Flex>,
        bias: Option<FlexTensor>,
        scoring: Scoring,
    ) -> (Self, BoolTensor<Flex>) {
        let [queries, keys, values] = &tensors;
        let sizes = Sizes::new(queries, keys, values);
        if let Some(bias) = &bias {
            sizes.assert_biases(bias);
        }
        let [queries, keys, values] = tensors.map(adjacent);
        let inputs = Self {
            queries,
            keys,
            values,
            bias: bias.map(adjacent),
            scoring,
            sizes,
        };
        (inputs, adjacent(masked))
    }

    /// Whether they are for [`tiled`](super::tiled) rather than [`short`](super::short).
    pub(super) fn need_tiles(&self) -> bool {
        let is_long = self.sizes.rows().max(self.sizes.seq_k) > SHORT;
        let is_plain = self.scoring.cap.is_none() && self.bias.is_none();
        self.sizes.seq_k > 0 && (is_long || !is_plain)
    }

    /// The biases, if there are any.
    pub(super) fn biases(&self) -> Option<Biases<'_>> {
        let bias = self.bias.as_ref()?;
        Some(Biases {
            rows: Rows::new(bias, bias.storage()),
            batches: bias.layout().shape()[0],
        })
    }
}

/// Biases that are added to the scaled scores of a head, key by key.
pub(super) struct Biases<'a> {
    rows: Rows<'a, f32>,
    batches: usize,
}

impl<'a> Biases<'a> {
    #[inline(always)]
    pub(super) fn of_head(&self, [batch, head]: [usize; 2]) -> &'a [f32] {
        self.rows.at([batch % self.batches, head, 0])
    }
}

/// The tensor with its last axis adjacent in memory, the other axes in any order. Nothing is copied
/// for heads that were split off, nor for a mask that was expanded.
pub(super) fn adjacent(x: FlexTensor) -> FlexTensor {
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

/// The rows of a tensor with four axes and any strides.
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

/// The mask: the keys that each row of scores may not see.
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

    /// The mask of one row of scores; every query head of a group has the same.
    #[inline(always)]
    pub(super) fn row(&self, batch: usize, row: usize) -> &'a [u8] {
        self.hidden.at([batch % self.batches, 0, row % self.rows])
    }
}
