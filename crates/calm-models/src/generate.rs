//! Continuing prompts.

use burn::tensor::{Int, Tensor, TensorData};

use crate::decoder::Cache;
use crate::{Context, Decoder, KvCache, ModelError, PaddingMask};

/// A model that predicts the next token: what decoding and scoring need of it.
pub trait CausalLm {
    /// What it remembers of the positions so far.
    type Cache: Cache;

    /// An empty cache for a batch of so many rows.
    fn new_cache(&self, batch: usize) -> Self::Cache;

    /// The last hidden states, before the final norm.
    ///
    /// With a cache, `ids` follow the positions that it holds, and it grows by them.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`, of the shape of `padding`
    /// - output: `[batch, seq, d_model]`
    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut Self::Cache>,
    ) -> Tensor<3>;

    /// The decoder whose norm and head finish those hidden states.
    fn head(&self) -> &Decoder;

    /// Whether what a cache holds, filled when the longest row had `before` tokens, is what a pass
    /// would compute whose longest row has `after`. Not so where rotary frequencies change between
    /// the two; see [`Cache::filled_at`] and [`Cache::longest_row_with`].
    fn cache_serves(&self, before: usize, after: usize) -> bool {
        let _ = (before, after);
        true
    }

    /// The longest sequence that the model can take.
    fn context_length(&self) -> usize {
        self.head().config().context_length
    }
}

impl CausalLm for Decoder {
    type Cache = KvCache;

    fn new_cache(&self, batch: usize) -> KvCache {
        KvCache::new(self.block_count(), batch)
    }

    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let context = Context::new(self, padding, cache.as_deref_mut());
        self.run(
            0..self.block_count(),
            self.embed(ids, &context),
            &context,
            cache,
        )
    }

    fn head(&self) -> &Decoder {
        self
    }

    fn cache_serves(&self, before: usize, after: usize) -> bool {
        let kinds = self.kinds();
        let ropes = kinds.kinds.iter().filter_map(|kind| kind.rope.as_ref());
        before == 0
            || ropes
                .into_iter()
                .all(|rope| rope.scaling.is_same_at(before, after))
    }
}

/// When to stop, and what to fill up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateOptions {
    /// At most so many tokens after each prompt.
    pub max_new_tokens: usize,
    /// Any of these ends a continuation; none means that only the length does.
    pub stop: Vec<u32>,
}

/// One prompt's continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The new tokens, without the one that ended them.
    pub ids: Vec<u32>,
    /// Whether a stop token came, rather than the end of the room.
    pub stopped: bool,
}

/// Continues every prompt greedily: each token is the likeliest after those before it.
///
/// The prompts are decoded as one batch, padded on the left; what a row gets does not depend on
/// the others. Continuations also end where the model's context does.
///
/// # Errors
///
/// [`ModelError`] if a prompt is empty, holds an id outside the vocabulary or fills the context,
/// or if the device fails.
pub fn generate<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
) -> Result<Vec<Continuation>, ModelError> {
    check(model, prompts)?;
    let mut batch = Decoding::new(model, prompts, options);
    if options.max_new_tokens > 0 && !prompts.is_empty() {
        let (ids, padding) = left_padded(prompts);
        let mut next = batch.step(ids, &padding)?;
        while batch.accept(&next) {
            let (ids, padding) = batch.compact(&next);
            let (ids, padding) = batch.renew(ids, padding);
            next = batch.step(ids, &padding)?;
        }
    }
    Ok(batch.rows)
}

fn check<M: CausalLm>(model: &M, prompts: &[Vec<u32>]) -> Result<(), ModelError> {
    let vocab_size = model.head().config().vocab_size;
    let context_length = model.context_length();
    for (row, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            return Err(ModelError::EmptyPrompt { row });
        }
        if prompt.len() >= context_length {
            return Err(ModelError::ContextLength {
                row,
                tokens: prompt.len(),
                context_length,
            });
        }
        if let Some(id) = prompt.iter().copied().find(|id| *id as usize >= vocab_size) {
            return Err(ModelError::TokenOutOfRange {
                row,
                id,
                vocab_size,
            });
        }
    }
    Ok(())
}

/// Rows of ids and their padding; what fills up the left is never seen, so it may be any token.
fn left_padded(prompts: &[Vec<u32>]) -> (Vec<u32>, PaddingMask) {
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let padding = PaddingMask::left(&lengths);
    let ids = prompts.iter().flat_map(|prompt| {
        std::iter::repeat_n(0, padding.seq() - prompt.len()).chain(prompt.iter().copied())
    });
    (ids.collect(), padding)
}

/// A batch in decoding.
struct Decoding<'a, M: CausalLm> {
    model: &'a M,
    prompts: &'a [Vec<u32>],
    options: &'a GenerateOptions,
    /// One per prompt.
    rows: Vec<Continuation>,
    /// How many tokens each prompt can still be continued by.
    room: Vec<usize>,
    /// The prompt of each row of the cache.
    live: Vec<usize>,
    cache: M::Cache,
}

impl<'a, M: CausalLm> Decoding<'a, M> {
    fn new(model: &'a M, prompts: &'a [Vec<u32>], options: &'a GenerateOptions) -> Self {
        let room = |prompt: &Vec<u32>| {
            options
                .max_new_tokens
                .min(model.context_length() - prompt.len())
        };
        Self {
            model,
            prompts,
            options,
            rows: vec![
                Continuation {
                    ids: Vec::new(),
                    stopped: false
                };
                prompts.len()
            ],
            room: prompts.iter().map(room).collect(),
            live: (0..prompts.len()).collect(),
            cache: model.new_cache(prompts.len()),
        }
    }

    /// Feeds ids, `[rows, seq]`, and returns each row's likeliest next token.
    fn step(&mut self, ids: Vec<u32>, padding: &PaddingMask) -> Result<Vec<u32>, ModelError> {
        let head = self.model.head();
        let shape = [padding.batch(), padding.seq()];
        let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        let device = head.device().without_autodiff();
        let ids = Tensor::from_data(TensorData::new(ids, shape), &device);
        let hidden = self
            .model
            .hidden_states(ids, padding, Some(&mut self.cache));
        let last = hidden.narrow(1, shape[1] - 1, 1).squeeze_dim::<2>(1);
        let likeliest = head.finish_positions(last).argmax(1);
        likeliest
            .try_into_vec_as::<u32>()
            .map_err(|source| ModelError::Device { source })
    }

    fn is_done(&self, row: usize) -> bool {
        self.rows[row].stopped || self.rows[row].ids.len() >= self.room[row]
    }

    /// Adds a token to every row that goes on. Returns whether any still does.
    fn accept(&mut self, next: &[u32]) -> bool {
        for (row, id) in self.live.clone().into_iter().zip(next) {
            if self.is_done(row) {
                continue;
            }
            let stops = self.options.stop.contains(id);
            let continuation = &mut self.rows[row];
            continuation.stopped = stops;
            if !stops {
                continuation.ids.push(*id);
            }
        }
        self.live.iter().any(|row| !self.is_done(*row))
    }

    /// The tokens to feed next. Finished rows are fed padding, and leave the cache once they are
    /// half of it: removing them copies what stays.
    fn compact(&mut self, next: &[u32]) -> (Vec<u32>, PaddingMask) {
        let mut next = next.to_vec();
        let going: Vec<usize> = (0..self.live.len())
            .filter(|slot| !self.is_done(self.live[*slot]))
            .collect();
        if going.len() * 2 <= self.live.len() {
            self.cache.select_rows(&going);
            next = going.iter().map(|slot| next[*slot]).collect();
            self.live = going.iter().map(|slot| self.live[*slot]).collect();
        }
        let padding =
            PaddingMask::new(self.live.len(), 1, |slot, _| !self.is_done(self.live[slot]));
        (next, padding)
    }

    /// What to feed instead of the next tokens: all tokens, to an empty cache, where the cache does
    /// not serve any longer.
    fn renew(&mut self, next: Vec<u32>, padding: PaddingMask) -> (Vec<u32>, PaddingMask) {
        let after = self.cache.longest_row_with(&padding);
        if self.model.cache_serves(self.cache.filled_at(), after) {
            return (next, padding);
        }
        self.cache = self.model.new_cache(self.live.len());
        let text = |row: &usize| [&*self.prompts[*row], &*self.rows[*row].ids].concat();
        let texts: Vec<Vec<u32>> = self.live.iter().map(text).collect();
        left_padded(&texts)
    }
}
