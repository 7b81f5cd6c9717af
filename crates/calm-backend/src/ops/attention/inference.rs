//! Attention without a gradient: nothing is kept.

use burn::backend::Flex;
use burn::backend::tensor::BoolTensor;

use super::super::processor::FlexTensor;
use super::fused::{Inputs, Mask};
use super::{Scoring, single, small, tiled};

pub(in super::super) fn forward(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    scoring: Scoring,
) -> FlexTensor {
    let (inputs, masked) = Inputs::new([queries, keys, values], masked, scoring);
    let mask = Mask::new(&masked, inputs.sizes);
    if inputs.sizes.seq_q == 1 {
        single::forward(&inputs, &mask)
    } else if inputs.are_large() {
        tiled::forward(&inputs, &mask).0
    } else {
        small::forward(&inputs, &mask).0
    }
}
