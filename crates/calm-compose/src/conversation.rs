//! Prompts of compositions: tokens, and renderings that augmenting models read instead of them.

use std::sync::Arc;

use crate::PromptText;

/// What every augmenting model reads of one prompt; none where it reads the anchor's text.
pub type PromptTexts = Vec<Option<Arc<PromptText>>>;

/// A prompt of a composed model.
#[derive(Debug, Clone, Default)]
pub struct ComposedPrompt {
    /// The anchor's tokens.
    pub ids: Vec<u32>,
    /// The renderings that augmenting models read while the anchor reads these tokens, for those that
    /// have [`tokens`](crate::Augmenting::tokens) of their own; empty if all read the anchor's text.
    /// Each was made by [`PromptText::align`] for these tokens.
    pub texts: PromptTexts,
}

impl From<Vec<u32>> for ComposedPrompt {
    fn from(ids: Vec<u32>) -> Self {
        Self {
            ids,
            texts: PromptTexts::new(),
        }
    }
}

impl AsRef<[u32]> for ComposedPrompt {
    fn as_ref(&self) -> &[u32] {
        &self.ids
    }
}
