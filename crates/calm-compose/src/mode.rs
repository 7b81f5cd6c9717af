//! How far augmenting models read along.

use serde::{Deserialize, Serialize};

/// What augmenting models read of a text.
///
/// The prompt are the first tokens of a row: in training what precedes the target, in decoding
/// what the first pass gives to an empty cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// All of it, so that every decoded token moves both models forward (section 3.1).
    #[default]
    Iterative,
    /// The prompt only: an ablation of section 4.4, table 5. After it the augmenting model does not
    /// run any more, and what its bridges hold stays as it is.
    Encoder,
}

impl Mode {
    /// How many of a row's tokens are read, of which so many are its prompt.
    pub(crate) fn read_of(self, prompt: usize) -> usize {
        match self {
            Self::Iterative => usize::MAX,
            Self::Encoder => prompt,
        }
    }
}
