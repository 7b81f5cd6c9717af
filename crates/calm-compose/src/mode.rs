//! The part of a text that augmenting models read.

use serde::{Deserialize, Serialize};

/// The part of a text that augmenting models read.
///
/// The prompt is the beginning of a row: in training the tokens before the target, in decoding those
/// of the first pass into an empty cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All of it: every decoded token is read by both models (section 3.1).
    #[default]
    Iterative,
    /// The prompt only: an ablation of section 4.4, table 5. Behind the prompt the augmenting model
    /// is not run any more, and the memory of its bridges stays as it is.
    Encoder,
}

impl Mode {
    /// Number of tokens that are read of a row whose prompt has `prompt` tokens.
    pub(crate) fn tokens_read(self, prompt: usize) -> usize {
        match self {
            Self::Iterative => usize::MAX,
            Self::Encoder => prompt,
        }
    }
}
