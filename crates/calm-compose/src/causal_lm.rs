//! The composed model as a causal language model, for sessions, generation and scoring.

use burn::tensor::{Int, Tensor};
use calm_models::{CausalLm, Decoder, ModelError, PaddingMask};

use crate::{ComposedCache, ComposedModel, ComposedPrompt, Mode};

impl CausalLm for ComposedModel {
    type Cache = ComposedCache;
    type Prompt = ComposedPrompt;

    fn new_cache(&self, batch: usize) -> ComposedCache {
        ComposedCache::new(&self.parts, batch)
    }

    fn cache_for(&self, prompt: &ComposedPrompt) -> ComposedCache {
        ComposedCache::of_prompt(&self.parts, prompt)
    }

    /// Rows of one batch either all read the anchor's ids with an augmenting model, or none does.
    fn can_share_batch(&self, a: &ComposedPrompt, b: &ComposedPrompt) -> bool {
        let mut models = self.parts.augmenting.iter().enumerate();
        models.all(|(index, model)| {
            model.tokens.is_some() || a.text_of(index).is_some() == b.text_of(index).is_some()
        })
    }

    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
    ) -> Result<Tensor<3>, ModelError> {
        self.parts.hidden_states(&self.bridges, ids, padding, cache)
    }

    fn head(&self) -> &Decoder {
        &self.parts.anchor
    }

    /// Only models that read the anchor's ids count. For others `FrozenParts::start_over` computes
    /// everything anew where it is necessary.
    fn cache_serves(&self, before: usize, after: usize) -> bool {
        std::iter::once(&self.parts.anchor)
            .chain(self.parts.readers_of_anchor_ids())
            .all(|decoder| decoder.cache_serves(before, after))
    }

    /// A model in encoder mode takes the first pass for the prompt.
    fn reads_in_parts(&self, prompt: &ComposedPrompt) -> bool {
        let mut models = self.parts.augmenting.iter();
        prompt.texts.iter().all(Option::is_none)
            && models.all(|model| model.mode == Mode::Iterative)
    }

    /// Vocabularies of several sizes are padded to different lengths. What is behind the shortest is no
    /// token, but would be read by models that have no embedding for it.
    fn readable_ids(&self) -> usize {
        let readers = self.parts.readers_of_anchor_ids();
        let sizes = readers.map(|decoder| decoder.config().vocab_size);
        sizes.fold(self.parts.anchor.config().vocab_size, usize::min)
    }

    /// The anchor's, or less if a model that reads its ids has learnt fewer positions.
    fn context_length(&self) -> usize {
        self.parts
            .readers_of_anchor_ids()
            .filter_map(|decoder| decoder.config().position_limit())
            .fold(self.parts.anchor.config().context_length, usize::min)
    }
}
