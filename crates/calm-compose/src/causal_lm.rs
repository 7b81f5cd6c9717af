//! A composition as a language model: decoding, sessions and scoring take it as they take a decoder.

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

    /// Of an augmenting model, either all rows of a batch read the anchor's ids or none does.
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

    /// Models that read in tokens of their own see to it themselves, see `FrozenParts::start_over`.
    fn cache_serves(&self, before: usize, after: usize) -> bool {
        std::iter::once(&self.parts.anchor)
            .chain(self.parts.reading_the_anchors_ids())
            .all(|decoder| decoder.cache_serves(before, after))
    }

    /// An encoder takes the first pass for the prompt.
    fn reads_in_parts(&self, prompt: &ComposedPrompt) -> bool {
        let mut models = self.parts.augmenting.iter();
        prompt.texts.iter().all(Option::is_none)
            && models.all(|model| model.mode == Mode::Iterative)
    }

    /// The anchor's, unless a model that reads its ids knows no positions so far.
    fn context_length(&self) -> usize {
        self.parts
            .reading_the_anchors_ids()
            .map(Decoder::config)
            .filter(|config| config.learnt_positions)
            .map(|config| config.context_length)
            .fold(self.parts.anchor.config().context_length, usize::min)
    }
}
