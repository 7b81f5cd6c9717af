//! The one decoder that all families are read into.

mod activation;
mod alibi;
mod block;
mod build;
mod cache;
mod chosen;
mod context;
mod experts;
mod feed_forward;
mod params;
mod positions;
mod rope;
mod sinusoidal;
mod top_k;

use std::ops::Range;
use std::sync::Arc;

use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::{DType, Device, Int, Tensor};
use calm_backend::{FloatType, ops};
use half::{bf16, f16};

pub use self::block::{Attention, Block, Norm};
use self::block::{normed, scaled};
pub(crate) use self::build::{ParameterSource, build};
pub(crate) use self::cache::UNDONE;
pub use self::cache::{Cache, KvCache};
pub use self::chosen::ChosenPositions;
pub use self::context::Context;
pub use self::experts::{Experts, SharedExpert};
pub use self::feed_forward::FeedForward;
pub(crate) use self::params::ParamRef;
use self::positions::{EmbeddedPositions, PositionKinds};
use crate::{AttentionConfig, DecoderConfig, EmbeddingScale};

/// A decoder-only transformer whose blocks can be run a few at a time.
///
/// ```text
/// ids ─ embed ─► hidden ─ run(0..i) ─► hidden ─ run(i..n) ─► hidden ─ finish ─► logits
/// ```
///
/// The same module serves frozen models and models in training. Loaded to a device without
/// autodiff, its parameters are constants through which gradients may pass;
/// [`decoder.train()`](Module::train) makes them trainable, all of them or, with
/// [`Module::apply_lora`] after it, adapters only. Parameter paths read like
/// `blocks.0.attention.query.weight`.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[vocab, d_model]`.
    pub embedding: Embedding,
    /// `[context, d_model]`, where positions are learnt.
    pub position_embedding: Option<Embedding>,
    /// Of the embeddings, where they are normed.
    pub embedding_norm: Option<Norm>,
    /// In order.
    pub blocks: Vec<Block>,
    /// After the last block.
    pub norm: Norm,
    /// `[d_model, vocab]`; none where the embedding serves as the head.
    pub head: Option<Linear>,
    #[module(skip)]
    kinds: Arc<PositionKinds>,
    #[module(skip)]
    config: Arc<DecoderConfig>,
}

impl Decoder {
    /// An untrained decoder. The weights depend on the seed alone, not on the device or the
    /// number of threads.
    ///
    /// # Panics
    ///
    /// If `config` does not pass [`DecoderConfig::validate`].
    pub fn untrained(config: &DecoderConfig, seed: u64, device: &Device) -> Self {
        if let Err(reason) = config.validate() {
            panic!("{reason}");
        }
        build(config, &mut build::Untrained::new(seed, device))
    }

    /// The description that this decoder was built from.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Device of the parameters.
    pub fn device(&self) -> Device {
        self.embedding.weight.device()
    }

    /// The compute type, which is that of the parameters.
    pub fn dtype(&self) -> DType {
        self.embedding.weight.base().dtype()
    }

    /// The compute type by its public name.
    pub fn compute_type(&self) -> FloatType {
        FloatType::of(self.dtype())
    }

    /// Hidden states as the first block receives them.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`, each below the vocabulary's size, at the positions of `context`
    /// - output: `[batch, seq, d_model]`
    pub fn embed(&self, ids: Tensor<2, Int>, context: &Context) -> Tensor<3> {
        let tokens = self.embedding.forward(ids);
        let tokens = match self.config.embedding.scale {
            Some(EmbeddingScale::Rounded(scale)) => tokens * self.round(scale),
            Some(EmbeddingScale::Exact(scale)) => scaled(tokens, scale),
            None => tokens,
        };
        let embedded = match (&self.position_embedding, context.embedded()) {
            (Some(embedding), EmbeddedPositions::Learnt(ids)) => tokens + embedding.forward(ids),
            (_, EmbeddedPositions::Computed(positions)) => tokens + positions,
            _ => tokens,
        };
        normed(&self.embedding_norm, embedded)
    }

    /// A constant rounded to the compute type, by way of `f32` as in `transformers`.
    fn round(&self, constant: f64) -> f64 {
        match self.dtype() {
            DType::F16 => f16::from_f32(constant as f32).to_f64(),
            DType::BF16 => bf16::from_f32(constant as f32).to_f64(),
            _ => f64::from(constant as f32),
        }
    }

    /// Runs `blocks` (0-based, end exclusive) over `hidden`.
    ///
    /// With a cache, the positions of `hidden` follow those held; it must be the cache that
    /// `context` was made with. A pass may stop at any block, and runs each block at most once.
    ///
    /// # Shapes
    ///
    /// - `hidden` and output: `[batch, seq, d_model]`; of a context that chooses positions the
    ///   output is `[batch, computed, d_model]`
    ///
    /// # Panics
    ///
    /// If `blocks` is out of range, or more than one where the context chooses positions.
    pub fn run(
        &self,
        blocks: Range<usize>,
        hidden: Tensor<3>,
        context: &Context,
        mut cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let first = blocks.start;
        assert!(
            context.chosen.is_none() || blocks.len() <= 1,
            "a block needs all positions of the block before it"
        );
        self.blocks[blocks]
            .iter()
            .enumerate()
            .fold(hidden, |hidden, (index, block)| {
                block.forward(hidden, context, cache.as_deref_mut(), first + index)
            })
    }

    /// Logits of every position: the final norm and the head.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch, seq, d_model]`, the output of the last block
    /// - output: `[batch, seq, vocab]`
    pub fn finish(&self, hidden: Tensor<3>) -> Tensor<3> {
        let [batch, seq, d_model] = hidden.dims();
        let logits = self.finish_positions(hidden.reshape([batch * seq, d_model]));
        let [_, vocab] = logits.dims();
        logits.reshape([batch, seq, vocab])
    }

    /// Logits of chosen positions, such as those that carry a loss: where the vocabulary is large,
    /// this is where the time and the memory go.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[n, d_model]`
    /// - output: `[n, vocab]`
    pub fn finish_positions(&self, hidden: Tensor<2>) -> Tensor<2> {
        let normed = self.norm.forward(hidden);
        let logits = match &self.head {
            Some(head) => ops::linear(normed, head.weight.val(), None),
            None => ops::linear(normed, self.embedding.weight.val().transpose(), None),
        };
        let logits = match self.config.head.divisor {
            Some(divisor) => (logits.cast(DType::F32) / divisor).cast(self.dtype()),
            None => logits,
        };
        match self.config.head.softcap {
            Some(cap) => ops::softcap(logits, cap),
            None => logits,
        }
    }

    /// Logits of a whole batch, without a cache.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`, of the shape of `padding`
    /// - output: `[batch, seq, vocab]`
    pub fn forward(&self, ids: Tensor<2, Int>, padding: &crate::PaddingMask) -> Tensor<3> {
        let context = Context::new(self, padding, None);
        let hidden = self.embed(ids, &context);
        self.finish(self.run(0..self.block_count(), hidden, &context, None))
    }

    pub(crate) fn kinds(&self) -> Arc<PositionKinds> {
        self.kinds.clone()
    }

    /// Whether a sequence of `before` tokens has the same rotary frequencies as one of `after`.
    pub(crate) fn has_same_frequencies(&self, before: usize, after: usize) -> bool {
        let ropes = self.kinds.kinds.iter().filter_map(AttentionConfig::rope);
        let mut scalings = ropes.map(|rope| &rope.scaling);
        scalings.all(|scaling| scaling.is_same_at(before, after))
    }
}
