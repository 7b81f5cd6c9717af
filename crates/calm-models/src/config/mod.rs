//! A decoder, described block by block with every question settled.

mod attention;
mod block;
mod embedding;
mod error;
mod experts;
mod feed_forward;
mod gated;
mod params;
mod rope;
mod special;

use calm_backend::FloatType;

pub use self::attention::{AlibiKind, AttentionConfig, PositionEncoding, QkNorm, ScoreScale};
pub use self::block::{BlockConfig, NormConfig, NormKind, ResidualConfig};
pub(crate) use self::embedding::SINUSOIDAL_OFFSET;
pub use self::embedding::{EmbeddingConfig, EmbeddingScale, PositionEmbedding};
pub use self::error::ConfigError;
pub use self::experts::{ExpertWeights, ExpertsConfig};
pub use self::feed_forward::{Activation, FeedForwardConfig, FeedForwardKind};
pub(crate) use self::params::{BlockParam, GatedPart, ParamId, ParamShape};
pub use self::rope::{RopeConfig, RopeScaling};
pub(crate) use self::special::NamedIds;
pub use self::special::SpecialIds;
use crate::Family;

/// A decoder of any family: no key of a `config.json` and no default is left open.
///
/// [`Family::read`] makes one from a `config.json`; a model of one's own starts from
/// [`DecoderConfig::llama`].
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// The family, which names tensors and settings in files.
    pub family: Family,
    /// Token ids go from 0 to `vocab_size - 1`.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Embeddings of tokens and positions.
    pub embedding: EmbeddingConfig,
    /// The blocks, in order.
    pub blocks: Vec<BlockConfig>,
    /// Norm after the last block.
    pub final_norm: NormConfig,
    /// From normed hidden states to logits.
    pub head: HeadConfig,
    /// The longest sequence that the model was made for.
    pub context_length: usize,
    /// Ids with a meaning of their own.
    pub special: SpecialIds,
}

/// Head of a decoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadConfig {
    /// Whether the head is the embedding, transposed.
    pub tied: bool,
    /// Logits are divided by this.
    pub divisor: Option<f64>,
    /// Bound of the logits.
    pub softcap: Option<f64>,
}

/// No real model comes near such bounds; they keep a damaged file from asking for terabytes.
const MAX_WIDTH: usize = 1 << 20;
pub(crate) const MAX_BLOCKS: usize = 1 << 12;

impl DecoderConfig {
    /// A small Llama-shaped model: as many key-value heads as heads, a feed-forward layer of
    /// 8/3 the width (rounded up to a multiple of 16), θ = 10⁴, ε = 10⁻⁵, a tied head, no biases,
    /// 2048 positions. Fields can be changed before use, those of all blocks with
    /// [`DecoderConfig::with_blocks`].
    pub fn llama(vocab_size: usize, d_model: usize, block_count: usize, heads: usize) -> Self {
        let norm = NormConfig {
            kind: NormKind::Rms,
            epsilon: 1e-5,
        };
        let block = BlockConfig {
            attention: AttentionConfig {
                heads,
                kv_heads: heads,
                d_head: d_model.checked_div(heads).unwrap_or(0),
                encoding: PositionEncoding::Rope(RopeConfig::plain(1e4)),
                window: None,
                qk_norm: None,
                scale: ScoreScale::HeadWidth,
                softcap: None,
                qkv_bias: false,
                output_bias: false,
            },
            feed_forward: FeedForwardConfig {
                kind: FeedForwardKind::Gated,
                d_ff: (d_model * 8 / 3).next_multiple_of(16),
                activation: Activation::Silu,
                bias: false,
            },
            residual: ResidualConfig::PreNorm,
            norm,
        };
        Self {
            family: Family::Llama,
            vocab_size,
            d_model,
            embedding: EmbeddingConfig::default(),
            blocks: vec![block; block_count],
            final_norm: norm,
            head: HeadConfig {
                tied: true,
                divisor: None,
                softcap: None,
            },
            context_length: 2048,
            special: SpecialIds::default(),
        }
    }

    /// The same decoder with every block changed.
    #[must_use]
    pub fn with_blocks(mut self, change: impl FnMut(&mut BlockConfig)) -> Self {
        self.blocks.iter_mut().for_each(change);
        self
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// The first block, which stands for all where files have one number for all of them.
    ///
    /// # Panics
    ///
    /// If there are no blocks, which [`DecoderConfig::validate`] refuses.
    pub fn first_block(&self) -> &BlockConfig {
        &self.blocks[0]
    }

    /// Query heads of the first block.
    pub fn heads(&self) -> usize {
        self.first_block().attention.heads
    }

    /// Number of parameters; a tied head counts once.
    pub fn parameter_count(&self) -> usize {
        let params = self.params().into_iter();
        params.map(|(_, shape)| shape.count()).sum()
    }

    /// Number of parameters that a token is computed with: all but those of experts that it does not
    /// use.
    pub fn active_parameter_count(&self) -> usize {
        let unused = self
            .blocks
            .iter()
            .map(|block| block.feed_forward.unused(self.d_model));
        self.parameter_count() - unused.sum::<usize>()
    }

    /// Bytes that keys and values of one position take in all blocks, stored as `dtype`.
    pub fn cache_bytes_per_token(&self, dtype: FloatType) -> usize {
        let blocks = self.blocks.iter();
        blocks.map(BlockConfig::cached_values).sum::<usize>() * dtype.bytes()
    }

    /// Number of positions that there are embeddings for; none: any number.
    pub fn position_limit(&self) -> Option<usize> {
        let learnt = self.embedding.positions == PositionEmbedding::Learnt;
        learnt.then_some(self.context_length)
    }

    /// Every parameter, in the order in which a decoder is built.
    pub(crate) fn params(&self) -> Vec<(ParamId, ParamShape)> {
        let outer = [
            ParamId::Embedding,
            ParamId::Positions,
            ParamId::EmbeddingNorm,
        ];
        let blocks = self.blocks.iter().enumerate().flat_map(|(index, block)| {
            let params = block.params(self.d_model).into_iter();
            params.map(move |(part, shape)| (ParamId::Block(index, part), shape))
        });
        let last = [ParamId::FinalNorm, ParamId::Head];
        let shape = |id| Some((id, self.shape(id)?));
        let outer = outer.into_iter().filter_map(shape);
        outer
            .chain(blocks)
            .chain(last.into_iter().filter_map(shape))
            .collect()
    }

    /// Shape of a parameter; none if the decoder has no such parameter.
    pub(crate) fn shape(&self, id: ParamId) -> Option<ParamShape> {
        let table = |rows| ParamShape::Table {
            rows,
            width: self.d_model,
        };
        match id {
            ParamId::Embedding => Some(table(self.vocab_size)),
            ParamId::Positions => self.position_limit().map(table),
            ParamId::EmbeddingNorm => {
                let norm = self.embedding.norm.as_ref();
                norm.map(|norm| norm.shape(self.d_model))
            }
            ParamId::Block(index, part) => self.blocks.get(index)?.shape(part, self.d_model),
            ParamId::FinalNorm => Some(self.final_norm.shape(self.d_model)),
            ParamId::Head => (!self.head.tied).then_some(ParamShape::Linear {
                inputs: self.d_model,
                outputs: self.vocab_size,
                bias: false,
            }),
        }
    }

    /// Checks what every decoder needs.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the number that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_size("vocabulary size", self.vocab_size, 1 << 24)?;
        check_size("hidden size", self.d_model, MAX_WIDTH)?;
        check_size("number of blocks", self.block_count(), MAX_BLOCKS)?;
        check_size("context length", self.context_length, 1 << 30)?;
        self.final_norm.validate()?;
        check_optional("bound of the logits", self.head.softcap)?;
        check_optional("divisor of the logits", self.head.divisor)?;
        self.embedding.validate()?;
        self.blocks.iter().try_for_each(BlockConfig::validate)?;
        let experts = self
            .blocks
            .iter()
            .filter_map(|block| block.feed_forward.experts());
        match experts.map(|experts| experts.count).sum() {
            0 => {}
            count => check_size(
                "number of experts of all blocks",
                count,
                experts::MAX_EXPERTS,
            )?,
        }
        self.special.validate(self.vocab_size)
    }
}

/// Checks that a size is neither zero nor absurd.
pub(crate) fn check_size(
    name: &'static str,
    value: usize,
    largest: usize,
) -> Result<(), ConfigError> {
    if (1..=largest).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Size {
        name,
        value,
        largest,
    })
}

fn check_positive(name: &'static str, value: f64) -> Result<(), ConfigError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(ConfigError::NotPositive { name, value })
}

fn check_optional(name: &'static str, value: Option<f64>) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| check_positive(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shape_is_valid() {
        let config = DecoderConfig::llama(320, 48, 4, 4);
        assert_eq!(config.validate(), Ok(()));
        let block = config.first_block();
        assert_eq!((block.attention.d_head, block.feed_forward.d_ff), (12, 128));
        let (keys_and_values, blocks, width, bytes) = (2, 4, 48, 2);
        assert_eq!(
            config.cache_bytes_per_token(FloatType::F16),
            keys_and_values * blocks * width * bytes
        );
    }

    #[test]
    fn impossible_numbers_are_named() {
        let message = |change: fn(&mut DecoderConfig)| {
            let mut config = DecoderConfig::llama(320, 48, 4, 4);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(
            message(|c| c.blocks[0].attention.heads = 0).contains("number of attention heads is 0")
        );
        assert!(message(|c| c.blocks.clear()).contains("number of blocks is 0"));
        assert!(
            message(|c| c.blocks[2].attention.window = Some(0)).contains("sliding window is 0")
        );
        assert!(message(|c| c.head.softcap = Some(0.0)).contains("bound of the logits is 0"));
        assert!(
            message(|c| c.blocks[1].attention.kv_heads = 3)
                .contains("3 key-value heads do not divide 4")
        );
        assert!(message(|c| c.blocks[1].attention.d_head = 11).contains("even width, not 11"));
        assert!(message(|c| c.final_norm.epsilon = f64::NAN).contains("norm epsilon is NaN"));
        assert!(message(|c| c.special.eos = vec![2, 320]).contains("token id 320"));
    }
}
