//! Conversations, which each model of a composition has in markup of its own.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use calm_models::{CausalLm, Decoder, ModelError, PaddingMask};

use crate::{ComposedCache, ComposedModel, PromptText};

/// What every augmenting model reads of one prompt; none where it reads the anchor's text.
pub type PromptTexts = Vec<Option<Arc<PromptText>>>;

/// A composed model that continues prompts which its augmenting models read in renderings of their
/// own. What is generated after them all models read alike.
#[derive(Debug, Clone)]
pub struct Conversing<'a> {
    model: &'a ComposedModel,
    rows: &'a [PromptTexts],
}

impl ComposedModel {
    /// The model with these prompts, one for every row, which must have the tokens that
    /// [`PromptText::align`] was given. Augmenting models with a prompt must have
    /// [`tokens`](crate::Augmenting::tokens) of their own.
    pub fn conversing<'a>(&'a self, rows: &'a [PromptTexts]) -> Conversing<'a> {
        Conversing { model: self, rows }
    }
}

impl CausalLm for Conversing<'_> {
    type Cache = ComposedCache;

    /// # Panics
    ///
    /// If there are not as many prompts as rows.
    fn new_cache(&self, batch: usize) -> ComposedCache {
        assert_eq!(self.rows.len(), batch, "a prompt for every row");
        let cache = self.model.new_cache(batch);
        cache.with_prompts(&self.model.parts, self.rows)
    }

    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
    ) -> Result<Tensor<3>, ModelError> {
        match cache {
            Some(cache) => self.model.hidden_states(ids, padding, Some(cache)),
            // Prompts are known to caches only.
            None => {
                let mut cache = self.new_cache(padding.batch());
                self.model.hidden_states(ids, padding, Some(&mut cache))
            }
        }
    }

    fn head(&self) -> &Decoder {
        self.model.head()
    }

    fn cache_serves(&self, before: usize, after: usize) -> bool {
        self.model.cache_serves(before, after)
    }

    fn reads_prompts_in_parts(&self) -> bool {
        self.model.reads_prompts_in_parts()
    }

    fn context_length(&self) -> usize {
        self.model.context_length()
    }
}
