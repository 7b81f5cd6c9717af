//! One block: attention and feed-forward layer, each behind a norm and a residual connection.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use calm_backend::ops;

use super::cache::KvCache;
use super::context::Context;

/// `x / rms(x) · weight`.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[d_model]`.
    pub weight: Param<Tensor<1>>,
    pub(crate) epsilon: f64,
}

impl RmsNorm {
    /// Normalises the last axis.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::rms_norm(x, self.weight.val(), self.epsilon)
    }
}

/// Causal self-attention with rotary positions and grouped key-value heads.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[d_model, heads * d_head]`.
    pub query: Linear,
    /// `[d_model, kv_heads * d_head]`.
    pub key: Linear,
    /// `[d_model, kv_heads * d_head]`.
    pub value: Linear,
    /// `[heads * d_head, d_model]`.
    pub output: Linear,
    pub(crate) d_head: usize,
}

impl Attention {
    /// `x` and output: `[batch, seq, d_model]`.
    fn forward(&self, x: Tensor<3>, context: &Context, cache: Option<CacheSlot<'_>>) -> Tensor<3> {
        let [batch, seq, _] = x.dims();
        let turn = |x| ops::rotary(x, context.cos.clone(), context.sin.clone());
        let queries = turn(self.split_heads(self.query.forward(x.clone())));
        let keys = turn(self.split_heads(self.key.forward(x.clone())));
        let values = self.split_heads(self.value.forward(x));
        let (keys, values) = match cache {
            None => (keys, values),
            Some(slot) => slot.cache.append(slot.block, context.past, keys, values),
        };
        let scale = (self.d_head as f64).sqrt().recip();
        let output = ops::attention(queries, keys, values, context.masked.clone(), scale);
        let [_, heads, _, d_head] = output.dims();
        let output = output.swap_dims(1, 2).reshape([batch, seq, heads * d_head]);
        self.output.forward(output)
    }

    /// `[batch, seq, n * d_head]` to `[batch, n, seq, d_head]`.
    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, seq, width] = x.dims();
        x.reshape([batch, seq, width / self.d_head, self.d_head])
            .swap_dims(1, 2)
    }
}

/// Where one block keeps its keys and values.
struct CacheSlot<'a> {
    cache: &'a mut KvCache,
    block: usize,
}

/// The gated feed-forward layer.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `[d_model, d_ff]`.
    pub gate: Linear,
    /// `[d_model, d_ff]`.
    pub up: Linear,
    /// `[d_ff, d_model]`.
    pub down: Linear,
}

impl FeedForward {
    /// `x` and output: `[batch, seq, d_model]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = self.gate.forward(x.clone());
        self.down.forward(ops::swiglu(gate, self.up.forward(x)))
    }
}

/// One block of a decoder.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub attention_norm: RmsNorm,
    /// Mixes positions.
    pub attention: Attention,
    /// Before the feed-forward layer.
    pub feed_forward_norm: RmsNorm,
    /// Works on each position alone.
    pub feed_forward: FeedForward,
}

impl Block {
    /// The block's output for its input, `[batch, seq, d_model]` both; `index` is the block's
    /// place in the cache.
    pub(crate) fn forward(
        &self,
        hidden: Tensor<3>,
        context: &Context,
        cache: Option<&mut KvCache>,
        index: usize,
    ) -> Tensor<3> {
        let slot = cache.map(|cache| CacheSlot {
            cache,
            block: index,
        });
        let normed = self.attention_norm.forward(hidden.clone());
        let hidden = hidden + self.attention.forward(normed, context, slot);
        let normed = self.feed_forward_norm.forward(hidden.clone());
        hidden + self.feed_forward.forward(normed)
    }
}
