//! Putting a decoder together out of parameters from anywhere: a file, or a seed.

use std::sync::Arc;

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use calm_backend::SeededInit;

use super::Decoder;
use super::block::{Attention, Block, FeedForward, Norm};
use super::positions::PositionKinds;
use crate::DecoderConfig;
use crate::config::NormKind;

/// A parameter's place in a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Slot {
    /// Token embeddings, `[vocab, d_model]`.
    Embedding,
    /// Embeddings of positions, `[context, d_model]`.
    Positions,
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
    QueryNorm,
    KeyNorm,
    Output,
    AttentionPostNorm,
    FeedForwardNorm,
    Gate,
    Up,
    Down,
    FeedForwardPostNorm,
}

impl DecoderConfig {
    /// How many outputs a projection has, how many numbers a norm, how wide the rows of a table
    /// are.
    pub(crate) fn outputs(&self, slot: Slot) -> usize {
        use BlockSlot::*;

        match slot {
            Slot::Head => self.vocab_size,
            Slot::Embedding | Slot::Positions | Slot::FinalNorm => self.d_model,
            Slot::Block(_, part) => match part {
                Query => self.heads * self.d_head,
                Key | Value => self.kv_heads * self.d_head,
                QueryNorm | KeyNorm => self.d_head,
                Gate | Up => self.d_ff,
                AttentionNorm | Output | AttentionPostNorm | FeedForwardNorm | Down
                | FeedForwardPostNorm => self.d_model,
            },
        }
    }
}

/// Where parameters come from. They are asked for in a fixed order.
pub(crate) trait ParameterSource {
    /// Rows that are looked up, `[rows, width]`.
    fn table(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The matrix of a projection, `[d_input, d_output]`.
    fn matrix(&mut self, slot: Slot, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The bias of a projection or a norm.
    fn bias(&mut self, slot: Slot, width: usize) -> Param<Tensor<1>>;
    /// The weight of a norm, which is `neutral` where it changes nothing.
    fn norm(&mut self, slot: Slot, width: usize, neutral: f32) -> Param<Tensor<1>>;
}

/// The decoder that `config` describes, with parameters from `source`.
pub(crate) fn build(config: &DecoderConfig, source: &mut impl ParameterSource) -> Decoder {
    let mut build = Build { config, source };
    Decoder {
        embedding: build.table(Slot::Embedding, config.vocab_size),
        position_embedding: config
            .learnt_positions
            .then(|| build.table(Slot::Positions, config.context_length)),
        blocks: (0..config.block_count())
            .map(|index| build.block(index))
            .collect(),
        norm: build.norm(Slot::FinalNorm),
        head: (!config.tied_head).then(|| build.linear(Slot::Head, config.d_model, false)),
        kinds: Arc::new(PositionKinds::new(config)),
        config: Arc::new(config.clone()),
    }
}

struct Build<'a, S> {
    config: &'a DecoderConfig,
    source: &'a mut S,
}

impl<S: ParameterSource> Build<'_, S> {
    fn block(&mut self, index: usize) -> Block {
        use BlockSlot::*;

        let config = self.config;
        let slot = |part| Slot::Block(index, part);
        Block {
            attention_norm: self.norm(slot(AttentionNorm)),
            attention: self.attention(index),
            attention_post_norm: config
                .post_norms
                .then(|| self.norm(slot(AttentionPostNorm))),
            feed_forward_norm: self.norm(slot(FeedForwardNorm)),
            feed_forward: self.feed_forward(index),
            feed_forward_post_norm: config
                .post_norms
                .then(|| self.norm(slot(FeedForwardPostNorm))),
        }
    }

    fn attention(&mut self, index: usize) -> Attention {
        use BlockSlot::*;

        let config = self.config;
        let slot = |part| Slot::Block(index, part);
        let (d_model, width) = (config.d_model, config.heads * config.d_head);
        Attention {
            query: self.linear(slot(Query), d_model, config.attention_bias),
            key: self.linear(slot(Key), d_model, config.attention_bias),
            value: self.linear(slot(Value), d_model, config.attention_bias),
            query_norm: config.qk_norms.then(|| self.norm(slot(QueryNorm))),
            key_norm: config.qk_norms.then(|| self.norm(slot(KeyNorm))),
            output: self.linear(slot(Output), width, config.output_bias),
            d_head: config.d_head,
            scale: config.score_scale(),
            softcap: config.attention_softcap,
        }
    }

    fn feed_forward(&mut self, index: usize) -> FeedForward {
        use BlockSlot::*;

        let config = self.config;
        let slot = |part| Slot::Block(index, part);
        let (d_model, bias) = (config.d_model, config.mlp_bias);
        FeedForward {
            gate: config.gated.then(|| self.linear(slot(Gate), d_model, bias)),
            up: self.linear(slot(Up), d_model, bias),
            down: self.linear(slot(Down), config.d_ff, bias),
            activation: config.activation,
        }
    }

    fn table(&mut self, slot: Slot, rows: usize) -> Embedding {
        let weight = self.source.table(slot, [rows, self.config.outputs(slot)]);
        Embedding { weight }
    }

    fn norm(&mut self, slot: Slot) -> Norm {
        let (kind, width) = (self.config.norm, self.config.outputs(slot));
        let neutral = if kind == NormKind::OffsetRms {
            0.0
        } else {
            1.0
        };
        Norm {
            weight: self.source.norm(slot, width, neutral),
            bias: (kind == NormKind::Layer).then(|| self.source.bias(slot, width)),
            kind,
            epsilon: self.config.norm_epsilon,
        }
    }

    fn linear(&mut self, slot: Slot, inputs: usize, has_bias: bool) -> Linear {
        let outputs = self.config.outputs(slot);
        Linear {
            weight: self.source.matrix(slot, [inputs, outputs]),
            bias: has_bias.then(|| self.source.bias(slot, outputs)),
        }
    }
}

/// Untrained parameters: matrices normal with a standard deviation of 1/√inputs, so that a narrow
/// model starts with as much signal as a wide one; embeddings of 0.02; norms neutral, biases zero.
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

    fn norm(&mut self, _slot: Slot, width: usize, neutral: f32) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::full([width], neutral, self.device))
    }
}
