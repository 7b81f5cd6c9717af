//! Decoders with layer norms and a plain feed-forward layer, all blocks alike: those of GPT-2's kind.

use super::llama_like;
use super::settings::Settings;
use crate::config::{
    Activation, FeedForwardConfig, FeedForwardKind, NormConfig, NormKind, PositionEncoding,
    ResidualConfig,
};
use crate::{DecoderConfig, Family, ModelError};

/// Settings of such a decoder, which has as many key-value heads as heads.
pub(super) struct Plain {
    pub(super) vocab_size: usize,
    pub(super) d_model: usize,
    pub(super) block_count: usize,
    pub(super) heads: usize,
    pub(super) d_ff: usize,
    pub(super) activation: Activation,
    pub(super) norm_epsilon: f64,
    pub(super) encoding: PositionEncoding,
    pub(super) residual: ResidualConfig,
    /// Whether the projections of the attention have biases.
    pub(super) attention_bias: bool,
    /// Whether those of the feed-forward layer have.
    pub(super) feed_forward_bias: bool,
}

impl Plain {
    /// The decoder, with an embedding and a head like Llama's.
    pub(super) fn config(
        self,
        settings: &Settings<'_>,
        family: Family,
    ) -> Result<DecoderConfig, ModelError> {
        let block_count = llama_like::checked_block_count(settings, self.block_count)?;
        let d_head = llama_like::head_width(settings, self.d_model, self.heads)?;
        let config = DecoderConfig::llama(self.vocab_size, 0, block_count, self.heads);
        let config = config.with_blocks(|block| {
            block.attention.d_head = d_head;
            block.attention.encoding = self.encoding.clone();
            block.attention.qkv_bias = self.attention_bias;
            block.attention.output_bias = self.attention_bias;
            block.feed_forward = FeedForwardConfig {
                kind: FeedForwardKind::Plain,
                d_ff: self.d_ff,
                activation: self.activation,
                bias: self.feed_forward_bias,
            };
            block.residual = self.residual;
        });
        let norm = NormConfig {
            kind: NormKind::Layer,
            epsilon: self.norm_epsilon,
        };
        let mut config = llama_like::with_norms(config, norm);
        config.family = family;
        config.d_model = self.d_model;
        Ok(config)
    }
}
