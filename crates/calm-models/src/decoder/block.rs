//! One block: attention and feed-forward layer, each behind a norm and a residual connection.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Bool, DType, Tensor};
use calm_backend::ops;

use super::cache::KvCache;
use super::context::Context;
use super::experts::Experts;
use super::feed_forward::{FeedForward, project};
use crate::config::{NormKind, QkNorm, ResidualConfig};

/// A norm over the last axis; see [`NormKind`].
#[derive(Module, Debug)]
pub struct Norm {
    /// `[width]`.
    pub weight: Param<Tensor<1>>,
    /// `[width]`, of layer norms.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
}

impl Norm {
    /// Normalises the last axis.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.weight.val();
        match (self.kind, &self.bias) {
            (NormKind::Layer, Some(bias)) => ops::layer_norm(x, weight, bias.val(), self.epsilon),
            (NormKind::LayerWithoutBias, _) => {
                let bias = weight.zeros_like();
                ops::layer_norm(x, weight, bias, self.epsilon)
            }
            (NormKind::OffsetRms, _) => self.unrounded(x, weight.cast(DType::F32) + 1.0),
            (NormKind::UnroundedRms, _) => self.unrounded(x, weight.cast(DType::F32)),
            _ => ops::rms_norm(x, weight, self.epsilon),
        }
    }

    /// Layer norm of heads `[batch, n, seq, d_head]`, each with its own part of the weight.
    fn of_each_head(&self, x: Tensor<4>) -> Tensor<4> {
        let (dtype, [_, heads, _, d_head]) = (x.dtype(), x.dims());
        let weight = self.weight.val().cast(DType::F32);
        let weight = weight.reshape([1, heads, 1, d_head]);
        let ones = Tensor::ones([d_head], (&x.device(), DType::F32));
        let bias = ones.zeros_like();
        let normed = ops::layer_norm(x.cast(DType::F32), ones, bias, self.epsilon);
        (normed * weight).cast(dtype)
    }

    /// Root-mean-square norm whose product with the weight is computed in `f32`.
    fn unrounded<const D: usize>(&self, x: Tensor<D>, weight: Tensor<1>) -> Tensor<D> {
        let dtype = x.dtype();
        ops::rms_norm(x.cast(DType::F32), weight, self.epsilon).cast(dtype)
    }
}

/// Causal self-attention with grouped key-value heads.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[d_model, heads * d_head]`.
    pub query: Linear,
    /// `[d_model, kv_heads * d_head]`.
    pub key: Linear,
    /// `[d_model, kv_heads * d_head]`.
    pub value: Linear,
    /// Of the queries, before they are rotated; see [`QkNorm`].
    pub query_norm: Option<Norm>,
    /// Of the keys, before they are rotated.
    pub key_norm: Option<Norm>,
    /// `[heads * d_head, d_model]`.
    pub output: Linear,
    pub(crate) d_head: usize,
    pub(crate) scale: f64,
    #[module(skip)]
    pub(crate) softcap: Option<f64>,
    #[module(skip)]
    pub(crate) qk_norm: Option<QkNorm>,
}

impl Attention {
    /// `x`: `[batch, seq, d_model]`, output: the same at the positions that the context computes;
    /// `index` is the block's place in the decoder.
    fn forward(
        &self,
        x: Tensor<3>,
        context: &Context,
        cache: Option<&mut KvCache>,
        index: usize,
    ) -> Tensor<3> {
        let asking = context.computed(x.clone());
        let [batch, seq, _] = asking.dims();
        let queries = self.heads(project(&self.query, asking), &self.query_norm);
        let queries = context.queries_of(index).turn(queries);
        let keys = self.heads(project(&self.key, x.clone()), &self.key_norm);
        let keys = context.positions_of(index).turn(keys);
        let values = self.split_heads(project(&self.value, x));
        let (keys, values) = match cache {
            None => (keys, values),
            Some(cache) => cache.append(index, context.past, keys, values),
        };
        let bias = context.positions_of(index).bias.clone();
        let output = self.attend(queries, keys, values, context.masked_in(index), bias);
        let [_, heads, _, d_head] = output.dims();
        let output = output.swap_dims(1, 2).reshape([batch, seq, heads * d_head]);
        project(&self.output, output)
    }

    fn attend(
        &self,
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        masked: Option<Tensor<4, Bool>>,
        bias: Option<Tensor<4>>,
    ) -> Tensor<4> {
        let scale = self.scale;
        match (bias, self.softcap) {
            (Some(bias), _) => ops::biased_attention(queries, keys, values, masked, scale, bias),
            (None, Some(cap)) => ops::softcap_attention(queries, keys, values, masked, scale, cap),
            (None, None) => ops::attention(queries, keys, values, masked, scale),
        }
    }

    /// Queries or keys, `[batch, seq, n * d_head]`, as heads `[batch, n, seq, d_head]` with their norm.
    fn heads(&self, x: Tensor<3>, norm: &Option<Norm>) -> Tensor<4> {
        match (self.qk_norm, norm) {
            (Some(QkNorm::Heads(_)), Some(norm)) => norm.forward(self.split_heads(x)),
            (Some(QkNorm::LayerOfEachHead { .. }), Some(norm)) => {
                norm.of_each_head(self.split_heads(x))
            }
            _ => self.split_heads(normed(norm, x)),
        }
    }

    /// `[batch, seq, n * d_head]` to `[batch, n, seq, d_head]`.
    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, seq, width] = x.dims();
        x.reshape([batch, seq, width / self.d_head, self.d_head])
            .swap_dims(1, 2)
    }
}

/// `x · factor`, where the factor is not rounded to the type of `x`.
pub(super) fn scaled<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    let dtype = x.dtype();
    (x.cast(DType::F32) * factor).cast(dtype)
}

pub(super) fn normed<const D: usize>(norm: &Option<Norm>, x: Tensor<D>) -> Tensor<D> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}

/// One block of a decoder.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub attention_norm: Option<Norm>,
    /// Mixes positions.
    pub attention: Attention,
    /// Of the attention's output.
    pub attention_post_norm: Option<Norm>,
    /// Before the feed-forward layer, unless that shares the norm before the attention.
    pub feed_forward_norm: Option<Norm>,
    /// Works on each position alone; none where experts do.
    pub feed_forward: Option<FeedForward>,
    /// Work on each position alone.
    pub experts: Option<Experts>,
    /// Of the feed-forward layer's output.
    pub feed_forward_post_norm: Option<Norm>,
    #[module(skip)]
    pub(crate) residual: ResidualConfig,
}

impl Block {
    /// The block's output for its input `[batch, seq, d_model]`, at the positions that the context
    /// computes; `index` is the block's place in the decoder.
    pub(crate) fn forward(
        &self,
        hidden: Tensor<3>,
        context: &Context,
        cache: Option<&mut KvCache>,
        index: usize,
    ) -> Tensor<3> {
        let input = normed(&self.attention_norm, hidden.clone());
        let attended = self.attention.forward(input.clone(), context, cache, index);
        let attended = normed(&self.attention_post_norm, attended);
        match self.residual {
            ResidualConfig::PreNorm | ResidualConfig::SandwichNorm | ResidualConfig::PostNorm => {
                let hidden = context.computed(hidden) + attended;
                let output = self.feed_forward(normed(&self.feed_forward_norm, hidden.clone()));
                hidden + output
            }
            ResidualConfig::ScaledPreNorm { factor } => {
                let hidden = context.computed(hidden) + scaled(attended, factor);
                let output = self.feed_forward(normed(&self.feed_forward_norm, hidden.clone()));
                hidden + scaled(output, factor)
            }
            ResidualConfig::Parallel => {
                let hidden = context.computed(hidden);
                let output = self.feed_forward(normed(&self.feed_forward_norm, hidden.clone()));
                output + attended + hidden
            }
            ResidualConfig::ParallelSharedNorm => {
                let output = self.feed_forward(context.computed(input));
                output + attended + context.computed(hidden)
            }
            ResidualConfig::NormedSkip => {
                let hidden = context.computed(input) + attended;
                let input = normed(&self.feed_forward_norm, hidden);
                input.clone() + self.feed_forward(input)
            }
        }
    }

    /// The feed-forward layer and the norm behind it.
    fn feed_forward(&self, x: Tensor<3>) -> Tensor<3> {
        let output = match (&self.feed_forward, &self.experts) {
            (Some(layer), _) => layer.forward(x),
            (None, Some(experts)) => experts.forward(x),
            (None, None) => unreachable!("a block has one of them"),
        };
        normed(&self.feed_forward_post_norm, output)
    }
}
