//! Attention without a gradient: no weights are kept, and the scores of long sequences are never
//! there all at once.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::BoolTensor;

use super::super::extension::FlexTensor;
use super::fused::{Inputs, Mask, Sizes};
use super::{large, single, small};

/// Queries of each head whose scores are there at once. In causal attention a tile does not even
/// look at the keys behind its last query.
const TILE: usize = 128;

pub(in super::super) fn forward(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    scale: f32,
) -> FlexTensor {
    let (inputs, masked) = Inputs::new([queries, keys, values], masked, scale);
    let mask = Mask::new(&masked, inputs.sizes);
    if inputs.sizes.seq_q == 1 {
        single::forward(&inputs, &mask)
    } else if !inputs.are_large() {
        small::forward(&inputs, &mask).0
    } else if inputs.sizes.seq_q <= TILE {
        large::forward(&inputs, &mask).0
    } else {
        tiles(&inputs, &masked)
    }
}

fn tiles(inputs: &Inputs, masked: &BoolTensor<Flex>) -> FlexTensor {
    let mask = Mask::new(masked, inputs.sizes);
    let seq_q = inputs.sizes.seq_q;
    let tiles = (0..seq_q).step_by(TILE).map(|start| {
        let rows = start..(start + TILE).min(seq_q);
        let keys = mask.seen(rows.clone());
        let tile = inputs.part(&rows, &keys);
        let masked = match masked.layout().shape()[2] {
            1 => masked.clone(),
            _ => masked.narrow(2, rows.start, rows.len()),
        };
        let masked = masked.narrow(3, keys.start, keys.len());
        large::forward(&tile, &Mask::new(&masked, tile.sizes)).0
    });
    Flex::float_cat(tiles.collect(), 2)
}

impl Inputs {
    /// Some queries, and the keys that they see.
    fn part(&self, rows: &Range<usize>, keys: &Range<usize>) -> Self {
        Self {
            queries: self.queries.narrow(2, rows.start, rows.len()),
            keys: self.keys.narrow(2, keys.start, keys.len()),
            values: self.values.narrow(2, keys.start, keys.len()),
            scale: self.scale,
            sizes: Sizes {
                seq_q: rows.len(),
                seq_k: keys.len(),
                ..self.sizes
            },
        }
    }
}

impl Mask<'_> {
    /// From the first to the last key that any of these rows sees in any text; one key if they see
    /// none.
    fn seen(&self, rows: Range<usize>) -> Range<usize> {
        let (mut start, mut end) = (usize::MAX, 1);
        let rows = |batch| rows.clone().map(move |row| (batch, row));
        for (batch, row) in (0..self.batches).flat_map(rows) {
            let hidden = self.row(batch, row);
            let first = hidden.iter().position(|hidden| *hidden == 0);
            let last = hidden.iter().rposition(|hidden| *hidden == 0);
            start = start.min(first.unwrap_or(start));
            end = end.max(last.map_or(0, |last| last + 1));
        }
        start.min(end - 1)..end
    }
}
