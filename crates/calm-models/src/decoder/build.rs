//! Builds a decoder from its description, with parameters from a file or a seed.

use std::collections::HashMap;
use std::sync::Arc;

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Device, Tensor};
use calm_backend::SeededInit;

use super::Decoder;
use super::block::{Attention, Block, Norm};
use super::experts::{Experts, SharedExpert};
use super::feed_forward::FeedForward;
use super::positions::PositionKinds;
use crate::DecoderConfig;
use crate::config::{
    Activation, AttentionConfig, BlockParam, ExpertsConfig, FeedForwardConfig, GatedPart,
    NormConfig, ParamId, ParamShape, QkNorm,
};

/// Source of parameters, which are asked for in a fixed order.
pub(crate) trait ParameterSource {
    /// Rows that are looked up, `[rows, width]`.
    fn table(&mut self, id: ParamId, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The matrix of a projection, `[d_input, d_output]`.
    fn matrix(&mut self, id: ParamId, shape: [usize; 2]) -> Param<Tensor<2>>;
    /// The bias of a projection or a norm.
    fn bias(&mut self, id: ParamId, width: usize) -> Param<Tensor<1>>;
    /// The weight of a norm, which is `neutral` where it changes nothing.
    fn norm(&mut self, id: ParamId, width: usize, neutral: f32) -> Param<Tensor<1>>;
}

/// The decoder that `config` describes, with parameters from `source`.
pub(crate) fn build(config: &DecoderConfig, source: &mut impl ParameterSource) -> Decoder {
    let mut build = Build {
        config,
        shapes: config.params().into_iter().collect(),
        source,
    };
    Decoder {
        embedding: required(build.table(ParamId::Embedding)),
        position_embedding: build.table(ParamId::Positions),
        embedding_norm: config
            .embedding
            .norm
            .and_then(|norm| build.norm(ParamId::EmbeddingNorm, norm)),
        blocks: (0..config.block_count())
            .map(|index| build.block(index))
            .collect(),
        norm: required(build.norm(ParamId::FinalNorm, config.final_norm)),
        head: build.linear(ParamId::Head),
        kinds: Arc::new(PositionKinds::new(config)),
        config: Arc::new(config.clone()),
    }
}

fn required<T>(parameter: Option<T>) -> T {
    parameter.expect("every description has it")
}

/// Parts are none where the description has no such parameter.
struct Build<'a, S> {
    config: &'a DecoderConfig,
    shapes: HashMap<ParamId, ParamShape>,
    source: &'a mut S,
}

impl<S: ParameterSource> Build<'_, S> {
    fn block(&mut self, index: usize) -> Block {
        use BlockParam::*;

        let config = &self.config.blocks[index];
        let (id, norm) = (|part| ParamId::Block(index, part), config.norm);
        Block {
            attention_norm: self.norm(id(AttentionNorm), norm),
            attention: self.attention(index, &config.attention),
            attention_post_norm: self.norm(id(AttentionPostNorm), norm),
            feed_forward_norm: self.norm(id(FeedForwardNorm), norm),
            feed_forward: self.feed_forward(index, &config.feed_forward),
            experts: self.experts(index, &config.feed_forward),
            feed_forward_post_norm: self.norm(id(FeedForwardPostNorm), norm),
            residual: config.residual,
        }
    }

    fn attention(&mut self, index: usize, config: &AttentionConfig) -> Attention {
        use BlockParam::*;

        let id = |part| ParamId::Block(index, part);
        let norm = config.qk_norm.map(QkNorm::config);
        Attention {
            query: required(self.linear(id(Query))),
            key: required(self.linear(id(Key))),
            value: required(self.linear(id(Value))),
            query_norm: norm.and_then(|norm| self.norm(id(QueryNorm), norm)),
            key_norm: norm.and_then(|norm| self.norm(id(KeyNorm), norm)),
            output: required(self.linear(id(Output))),
            d_head: config.d_head,
            scale: config.score_scale(),
            softcap: config.softcap,
            qk_norm: config.qk_norm,
        }
    }

    /// The layer of a block without experts.
    fn feed_forward(&mut self, index: usize, config: &FeedForwardConfig) -> Option<FeedForward> {
        let id = |part| match part {
            GatedPart::Gate => ParamId::Block(index, BlockParam::Gate),
            GatedPart::Up => ParamId::Block(index, BlockParam::Up),
            GatedPart::Down => ParamId::Block(index, BlockParam::Down),
        };
        let has_experts = config.experts().is_some();
        (!has_experts).then(|| self.gated(id, config.activation))
    }

    fn experts(&mut self, index: usize, config: &FeedForwardConfig) -> Option<Experts> {
        let ExpertsConfig {
            count,
            used,
            weights,
            shared,
        } = config.experts()?;
        let id = |part| ParamId::Block(index, part);
        let router = required(self.linear(id(BlockParam::Router)));
        let shared = shared.map(|_| SharedExpert {
            layer: self.gated(|part| id(BlockParam::Shared(part)), config.activation),
            gate: required(self.linear(id(BlockParam::SharedGate))),
        });
        let expert = |expert| move |part| id(BlockParam::Expert(expert, part));
        Some(Experts {
            router,
            layers: (0..count)
                .map(|index| self.gated(expert(index), config.activation))
                .collect(),
            shared,
            used,
            weights,
        })
    }

    /// A layer, with its gate if it has one.
    fn gated(&mut self, id: impl Fn(GatedPart) -> ParamId, activation: Activation) -> FeedForward {
        FeedForward {
            gate: self.linear(id(GatedPart::Gate)),
            up: required(self.linear(id(GatedPart::Up))),
            down: required(self.linear(id(GatedPart::Down))),
            activation,
        }
    }

    fn table(&mut self, id: ParamId) -> Option<Embedding> {
        let Some(&ParamShape::Table { rows, width }) = self.shapes.get(&id) else {
            return None;
        };
        let weight = self.source.table(id, [rows, width]);
        Some(Embedding { weight })
    }

    fn norm(&mut self, id: ParamId, NormConfig { kind, epsilon }: NormConfig) -> Option<Norm> {
        let Some(&ParamShape::Norm { width, bias }) = self.shapes.get(&id) else {
            return None;
        };
        Some(Norm {
            weight: self.source.norm(id, width, kind.neutral_weight()),
            bias: bias.then(|| self.source.bias(id, width)),
            kind,
            epsilon,
        })
    }

    fn linear(&mut self, id: ParamId) -> Option<Linear> {
        let Some(&ParamShape::Linear {
            inputs,
            outputs,
            bias,
        }) = self.shapes.get(&id)
        else {
            return None;
        };
        Some(Linear {
            weight: self.source.matrix(id, [inputs, outputs]),
            bias: bias.then(|| self.source.bias(id, outputs)),
        })
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
    fn table(&mut self, _slot: ParamId, shape: [usize; 2]) -> Param<Tensor<2>> {
        self.init.normal(shape, 0.02, self.device)
    }

    fn matrix(&mut self, _slot: ParamId, shape: [usize; 2]) -> Param<Tensor<2>> {
        let std = (shape[0] as f64).sqrt().recip();
        self.init.normal(shape, std, self.device)
    }

    fn bias(&mut self, _slot: ParamId, width: usize) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::zeros([width], self.device))
    }

    fn norm(&mut self, _slot: ParamId, width: usize, neutral: f32) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::full([width], neutral, self.device))
    }
}
