//! Attention on the processor: [`short`] for texts that stay in the first-level cache, [`tiled`]
//! for others, [`single_query`] in decoding.

mod inputs;
mod padded;
mod short;
mod single_query;
mod softmax;
mod tiled;

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::tensor::BoolTensor;

use self::inputs::{Inputs, Mask, adjacent};
use self::tiled::RowSoftmax;
use super::scoring::Scoring;
use crate::ops::cpu::FlexTensor;
use crate::ops::operation::BackwardState;

/// The inputs and their weights.
#[derive(Debug, Clone)]
struct Weighted {
    inputs: Inputs,
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    Kept(FlexTensor),
    /// They are computed again.
    Tiled {
        masked: BoolTensor<Flex>,
        softmaxes: Arc<[RowSoftmax]>,
    },
}

/// Nothing is kept, and there is a kernel for a single query.
pub(crate) fn inference(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    scoring: Scoring,
) -> FlexTensor {
    infer(Inputs::new([queries, keys, values], masked, None, scoring))
}

pub(crate) fn biased_inference(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    bias: FlexTensor,
    scoring: Scoring,
) -> FlexTensor {
    let bias = Some(bias);
    infer(Inputs::new([queries, keys, values], masked, bias, scoring))
}

fn infer((inputs, masked): (Inputs, BoolTensor<Flex>)) -> FlexTensor {
    let mask = Mask::new(&masked, inputs.sizes);
    if inputs.sizes.seq_q == 1 {
        single_query::forward(&inputs, &mask)
    } else if inputs.need_tiles() {
        tiled::forward(&inputs, &mask).0
    } else {
        short::forward(&inputs, &mask).0
    }
}

pub(crate) fn forward(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    scoring: Scoring,
    _: [bool; 3],
) -> (FlexTensor, impl BackwardState<Flex, 3>) {
    attend(Inputs::new([queries, keys, values], masked, None, scoring))
}

pub(crate) fn biased_forward(
    queries: FlexTensor,
    keys: FlexTensor,
    values: FlexTensor,
    masked: BoolTensor<Flex>,
    bias: FlexTensor,
    scoring: Scoring,
    _: [bool; 3],
) -> (FlexTensor, impl BackwardState<Flex, 3>) {
    let bias = Some(bias);
    attend(Inputs::new([queries, keys, values], masked, bias, scoring))
}

fn attend((inputs, masked): (Inputs, BoolTensor<Flex>)) -> (FlexTensor, Weighted) {
    let mask = Mask::new(&masked, inputs.sizes);
    let (output, weights) = if inputs.need_tiles() {
        let (output, softmaxes) = tiled::forward(&inputs, &mask);
        let softmaxes = softmaxes.into();
        (output, Weights::Tiled { masked, softmaxes })
    } else {
        let (output, weights) = short::forward(&inputs, &mask);
        (output, Weights::Kept(weights))
    };
    (output, Weighted { inputs, weights })
}

impl BackwardState<Flex, 3> for Weighted {
    fn backward(self, gradient: FlexTensor, needs_grad: [bool; 3]) -> [Option<FlexTensor>; 3] {
        let (inputs, output) = (&self.inputs, adjacent(gradient));
        match &self.weights {
            Weights::Kept(weights) => short::gradients(inputs, weights, &output, needs_grad),
            Weights::Tiled { masked, softmaxes } => {
                let mask = Mask::new(masked, inputs.sizes);
                tiled::gradients(inputs, &mask, softmaxes, &output, needs_grad)
            }
        }
    }
}
