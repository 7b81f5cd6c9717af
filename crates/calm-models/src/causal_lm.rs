//! The interface of decoding and scoring to a model.

use std::fmt::Debug;

use burn::tensor::{Int, Tensor};

use crate::{Cache, Context, Decoder, KvCache, ModelError, PaddingMask};

/// A model that predicts the next token.
pub trait CausalLm {
    /// State of the positions computed so far.
    type Cache: Cache + Clone;

    /// A prompt: its token ids, and whatever else the model reads with them.
    type Prompt: AsRef<[u32]> + From<Vec<u32>> + Clone + Debug;

    /// An empty cache for a batch of so many rows.
    fn new_cache(&self, batch: usize) -> Self::Cache;

    /// An empty cache of one row, for a text that begins with `prompt`.
    fn cache_for(&self, prompt: &Self::Prompt) -> Self::Cache {
        let _ = prompt;
        self.new_cache(1)
    }

    /// Whether texts with these prompts can be rows of one batch.
    fn can_share_batch(&self, a: &Self::Prompt, b: &Self::Prompt) -> bool {
        let _ = (a, b);
        true
    }

    /// The last hidden states, before the final norm.
    ///
    /// With a cache, `ids` follow the positions that it holds, and it grows by them.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`, of the shape of `padding`
    /// - output: `[batch, seq, d_model]`
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a model that reads the text along in tokens of its own cannot. The cache
    /// must not be used any more then.
    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut Self::Cache>,
    ) -> Result<Tensor<3>, ModelError>;

    /// The decoder whose norm and head finish those hidden states.
    fn head(&self) -> &Decoder;

    /// Whether a cache filled when the longest row had `before` tokens holds the values that a pass
    /// with a longest row of `after` tokens would compute. It does not if rotary frequencies change
    /// between the two; see [`Cache::filled_at`] and [`Cache::longest_row_with`].
    fn cache_serves(&self, before: usize, after: usize) -> bool {
        let _ = (before, after);
        true
    }

    /// Whether the beginning of this prompt can be computed apart from the rest, by its ids alone.
    fn reads_in_parts(&self, prompt: &Self::Prompt) -> bool {
        let _ = prompt;
        true
    }

    /// Ids from here on are none that the model can read, and are never generated.
    fn readable_ids(&self) -> usize {
        self.head().config().vocab_size
    }

    /// Tokens of the longest sequence that the model can take.
    fn context_length(&self) -> usize {
        self.head().config().context_length
    }
}

impl CausalLm for Decoder {
    type Cache = KvCache;
    type Prompt = Vec<u32>;

    fn new_cache(&self, batch: usize) -> KvCache {
        KvCache::within_windows(self.config(), batch)
    }

    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Result<Tensor<3>, ModelError> {
        let context = Context::new(self, padding, cache.as_deref_mut());
        let hidden = self.embed(ids, &context);
        Ok(self.run(0..self.block_count(), hidden, &context, cache))
    }

    fn head(&self) -> &Decoder {
        self
    }

    fn cache_serves(&self, before: usize, after: usize) -> bool {
        before == 0 || self.has_same_frequencies(before, after)
    }
}
