//! Putting a decoder together out of parameters from anywhere: a file, or a seed.

use std::sync::Arc;

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use calm_backend::SeededInit;

use super::block::{Attention, Block, FeedForward, RmsNorm};
use super::{Decoder, rope};
use crate::DecoderConfig;

/// A parameter's place in a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// Token embeddings, `[vocab, d_model]`.
    Embedding,
    /// The norm after the last block.
    FinalNorm,
    /// The head of a model that is not tied.
    Head,
    /// Part of a block.
    Block(usize, BlockSlot),
}

/// A parameter's place in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BlockSlot {
    AttentionNorm,
    Query,
    Key,
    Value,
    Output,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
}

/// Where parameters come from. They are asked for in a fixed order.
pub(crate) trait ParameterSource {
    /// Rows that are looked up, `[rows, width]`.
    fn table(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The matrix of a projection, `[d_input, d_output]`.
    fn matrix(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The bias of a projection.
    fn bias(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>>;
    /// The scale of a norm.
    fn norm(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>>;
}

/// The decoder that `config` describes, with parameters from `source`.
pub(crate) fn build(config: &DecoderConfig, source: &mut impl ParameterSource) -> Decoder {
    let d_model = config.d_model;
    let weight = source.table(Slot::Embedding, [config.vocab_size, d_model]);
    let blocks = (0..config.block_count)
        .map(|index| block(config, index, source))
        .collect();
    let norm = norm(config, Slot::FinalNorm, source);
    let head = (!config.tied_head).then(|| Linear {
        weight: source.matrix(Slot::Head, [d_model, config.vocab_size]),
        bias: None,
    });
    Decoder {
        embedding: Embedding { weight },
        blocks,
        norm,
        head,
        rotary_frequencies: rope::frequencies(config.rope, config.d_head).into(),
        config: Arc::new(config.clone()),
    }
}

fn block(config: &DecoderConfig, index: usize, source: &mut impl ParameterSource) -> Block {
    use BlockSlot::*;

    let slot = |part| Slot::Block(index, part);
    let (d_model, d_ff, d_head) = (config.d_model, config.d_ff, config.d_head);
    let (width, kv_width) = (config.heads * d_head, config.kv_heads * d_head);
    let attention_norm = norm(config, slot(AttentionNorm), source);
    let bias = config.attention_bias;
    let attention = Attention {
        query: linear(slot(Query), [d_model, width], bias, source),
        key: linear(slot(Key), [d_model, kv_width], bias, source),
        value: linear(slot(Value), [d_model, kv_width], bias, source),
        output: linear(slot(Output), [width, d_model], bias, source),
        d_head,
    };
    let feed_forward_norm = norm(config, slot(FeedForwardNorm), source);
    let bias = config.mlp_bias;
    let feed_forward = FeedForward {
        gate: linear(slot(Gate), [d_model, d_ff], bias, source),
        up: linear(slot(Up), [d_model, d_ff], bias, source),
        down: linear(slot(Down), [d_ff, d_model], bias, source),
    };
    Block {
        attention_norm,
        attention,
        feed_forward_norm,
        feed_forward,
    }
}

fn norm(config: &DecoderConfig, slot: Slot, source: &mut impl ParameterSource) -> RmsNorm {
    RmsNorm {
        weight: source.norm(slot, config.d_model),
        epsilon: config.norm_epsilon,
    }
}

fn linear(
    slot: Slot,
    shape: [usize; 2],
    has_bias: bool,
    source: &mut impl ParameterSource,
) -> Linear {
    let weight = source.matrix(slot, shape);
    Linear {
        weight,
        bias: has_bias.then(|| source.bias(slot, shape[1])),
    }
}

/// Untrained parameters: matrices normal with a standard deviation of 1/√inputs, so that a narrow
/// model starts with as much signal as a wide one; embeddings of 0.02; norms one, biases zero.
pub(crate) struct Untrained<'a> {
    init: SeededInit,
    device: &'a Device,
}

impl<'a> Untrained<'a> {
    pub(crate) fn new(seed: u64, device: &'a Device) -> Self {
        Self {
            init: SeededInit::new(seed),
            device,
        }
    }
}

impl ParameterSource for Untrained<'_> {
    fn table(&mut self, _slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        self.init.normal(shape, 0.02, self.device)
    }

    fn matrix(&mut self, _slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>> {
        let std = (shape[0] as f64).sqrt().recip();
        self.init.normal(shape, std, self.device)
    }

    fn bias(&mut self, _slot: Slot, width: usize) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::zeros([width], self.device))
    }

    fn norm(&mut self, _slot: Slot, width: usize) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::ones([width], self.device))
    }
}
