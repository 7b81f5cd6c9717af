//! Embeddings of tokens and positions.

use super::block::NormConfig;
use super::{ConfigError, check_optional};

/// Embeddings of tokens and positions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EmbeddingConfig {
    /// Factor of the embeddings of tokens.
    pub scale: Option<EmbeddingScale>,
    /// Embedding of positions, which is added to that of the tokens.
    pub positions: PositionEmbedding,
    /// Norm of the sum.
    pub norm: Option<NormConfig>,
}

/// Factor of the embeddings of tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EmbeddingScale {
    /// Rounded to the compute type first (Gemma).
    Rounded(f64),
    /// As it is (Granite).
    Exact(f64),
}

impl EmbeddingScale {
    /// The factor as it stands in the settings.
    pub fn factor(self) -> f64 {
        match self {
            Self::Rounded(factor) | Self::Exact(factor) => factor,
        }
    }
}

/// Embedding of a position, which is added to that of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PositionEmbedding {
    /// None.
    #[default]
    None,
    /// Learnt, for as many positions as the context has.
    Learnt,
    /// Row `position + 2` of a table of sines, then cosines, at frequencies from 1 down to 10⁻⁴
    /// (XGLM).
    Sinusoidal {
        /// A row of the table that is zero, as that of the padding id is.
        zeroed: Option<u32>,
    },
}

/// Rows of the table of sinusoidal embeddings before that of the first position.
pub(crate) const SINUSOIDAL_OFFSET: usize = 2;

impl EmbeddingConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let scale = self.scale.map(EmbeddingScale::factor);
        check_optional("embedding scale", scale)?;
        self.norm.map_or(Ok(()), |norm| norm.validate())
    }
}
