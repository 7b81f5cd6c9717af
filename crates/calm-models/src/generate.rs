//! Continuing prompts.

use std::ops::ControlFlow;

use burn::tensor::{Int, Tensor, TensorData};

use crate::decoder::Cache;
use crate::sampling::{Sampler, Sampling};
use crate::{Context, Decoder, KvCache, ModelError, PaddingMask};

/// A model that predicts the next token: what decoding and scoring need of it.
pub trait CausalLm {
    /// What it remembers of the positions so far.
    type Cache: Cache + Clone;

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
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a model that reads the text along in tokens of its own cannot. The cache
    /// is of no use then.
    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut Self::Cache>,
    ) -> Result<Tensor<3>, ModelError>;

    /// The decoder whose norm and head finish those hidden states.
    fn head(&self) -> &Decoder;

    /// Whether what a cache holds, filled when the longest row had `before` tokens, is what a pass
    /// would compute whose longest row has `after`. Not so where rotary frequencies change between
    /// the two; see [`Cache::filled_at`] and [`Cache::longest_row_with`].
    fn cache_serves(&self, before: usize, after: usize) -> bool {
        let _ = (before, after);
        true
    }

    /// Whether what prompts begin with can be read apart from the rest of them.
    fn reads_prompts_in_parts(&self) -> bool {
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
        let kinds = self.kinds();
        let ropes = kinds.kinds.iter().filter_map(|kind| kind.rope.as_ref());
        before == 0
            || ropes
                .into_iter()
                .all(|rope| rope.scaling.is_same_at(before, after))
    }
}

/// When to stop, and how to choose tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// At most so many tokens after each prompt.
    pub max_new_tokens: usize,
    /// Any of these ends a continuation; none means that only the length does.
    pub stop: Vec<u32>,
    /// How the next token is chosen.
    pub sampling: Sampling,
}

impl GenerateOptions {
    /// Always the likeliest token.
    pub fn greedy(max_new_tokens: usize, stop: Vec<u32>) -> Self {
        Self {
            max_new_tokens,
            stop,
            sampling: Sampling::default(),
        }
    }
}

/// One prompt's continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// The new tokens, without the one that ended them.
    pub ids: Vec<u32>,
    /// Whether a stop token came or the watcher ended it, rather than the end of the room.
    pub stopped: bool,
}

/// Continues every prompt, token by token.
///
/// The prompts are decoded as one batch, padded on the left; what a row gets does not depend on
/// the others. Continuations also end where the model's context does.
///
/// # Errors
///
/// [`ModelError`] if a prompt is empty, holds an id outside the vocabulary or fills the context,
/// if a setting of the sampling is out of range, or if the device fails.
pub fn generate<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
) -> Result<Vec<Continuation>, ModelError> {
    generate_watched(model, prompts, options, |_, _| {
        Ok(ControlFlow::Continue(()))
    })
}

/// [`generate`], where `watch` is told of every new token, first the row that it belongs to, and
/// may end that row. Tokens that stop a row are not told.
///
/// # Errors
///
/// As [`generate`], and what `watch` gives, which ends all rows.
pub fn generate_watched<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
    watch: impl FnMut(usize, u32) -> Result<ControlFlow<()>, ModelError>,
) -> Result<Vec<Continuation>, ModelError> {
    generate_after(model, None, prompts, options, watch)
}

/// [`generate_watched`], where the prefix is not computed again for prompts that all begin with it.
pub(crate) fn generate_after<M: CausalLm>(
    model: &M,
    prefix: Option<&SharedPrefix<M>>,
    prompts: &[Vec<u32>],
    options: &GenerateOptions,
    mut watch: impl FnMut(usize, u32) -> Result<ControlFlow<()>, ModelError>,
) -> Result<Vec<Continuation>, ModelError> {
    options.sampling.validate()?;
    check_prompts(model, prompts)?;
    let mut batch = Decoding::new(model, prompts, options);
    if options.max_new_tokens > 0 && !prompts.is_empty() {
        let (ids, padding) = batch.begin(prefix);
        let mut next = batch.step(&ids, &padding)?;
        while batch.accept(&next, &mut watch)? {
            let (ids, padding) = batch.compact(&next);
            let (ids, padding) = batch.renew(ids, padding);
            next = batch.step(&ids, &padding)?;
        }
    }
    Ok(batch.rows)
}

/// A beginning that many prompts share, such as worked examples, computed once.
///
/// [`generate_text_after`](crate::generate_text_after) takes it for those prompts that begin with it.
#[derive(Debug, Clone)]
pub struct SharedPrefix<M: CausalLm> {
    ids: Vec<u32>,
    /// Of one row.
    cache: M::Cache,
}

impl<M: CausalLm> SharedPrefix<M> {
    /// What these prompts have in common at their beginning; nothing if it is empty, or if the model
    /// takes no prompt in parts. Something is left of every prompt, from which its continuation is
    /// predicted.
    ///
    /// # Errors
    ///
    /// [`ModelError`] as for [`generate`].
    pub fn of(model: &M, prompts: &[Vec<u32>]) -> Result<Option<Self>, ModelError> {
        check_prompts(model, prompts)?;
        let ids = common_beginning(prompts);
        if ids.is_empty() || !model.reads_prompts_in_parts() {
            return Ok(None);
        }
        let mut cache = model.new_cache(1);
        let row = [ids.to_vec()];
        let (ids, padding) = left_padded(&row);
        model.hidden_states(tensor(model, &ids, &padding), &padding, Some(&mut cache))?;
        Ok(Some(Self { ids, cache }))
    }

    /// How many tokens it has.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has none, which it never does.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether these prompts can go on from it.
    fn serves(&self, model: &M, prompts: &[Vec<u32>]) -> bool {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let begins =
            |prompt: &Vec<u32>| prompt.len() > self.ids.len() && prompt.starts_with(&self.ids);
        prompts.iter().all(begins) && model.cache_serves(self.cache.filled_at(), longest)
    }
}

/// The tokens that all prompts begin with, short of the last one of any.
fn common_beginning(prompts: &[Vec<u32>]) -> &[u32] {
    let Some(first) = prompts.first() else {
        return &[];
    };
    let shared = |prompt: &Vec<u32>| {
        let same = first.iter().zip(prompt).take_while(|(a, b)| a == b);
        same.count().min(prompt.len().saturating_sub(1))
    };
    let shared = prompts.iter().map(shared).min().unwrap_or(0);
    &first[..shared]
}

/// Ids, `[rows, seq]`, where the model wants them.
fn tensor<M: CausalLm>(model: &M, ids: &[u32], padding: &PaddingMask) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    let device = model.head().device().without_autodiff();
    let shape = [padding.batch(), padding.seq()];
    Tensor::from_data(TensorData::new(ids, shape), &device)
}

/// Checks that a model can read these prompts and has room for a token behind each.
///
/// # Errors
///
/// [`ModelError`] if a prompt is empty, holds an id outside the vocabulary or fills the context.
pub fn check_prompts<M: CausalLm>(model: &M, prompts: &[Vec<u32>]) -> Result<(), ModelError> {
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
    /// One per prompt, so that what a row draws does not depend on the others.
    samplers: Vec<Sampler>,
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
            samplers: vec![Sampler::new(&options.sampling); prompts.len()],
            cache: model.new_cache(prompts.len()),
        }
    }

    /// What to feed first: the prompts, or what follows the prefix that they share.
    fn begin(&mut self, prefix: Option<&SharedPrefix<M>>) -> (Vec<u32>, PaddingMask) {
        let Some(prefix) = prefix.filter(|prefix| prefix.serves(self.model, self.prompts)) else {
            return left_padded(self.prompts);
        };
        self.cache = prefix.cache.clone();
        self.cache.select_rows(&vec![0; self.prompts.len()]);
        let rest = self
            .prompts
            .iter()
            .map(|prompt| prompt[prefix.len()..].to_vec());
        left_padded(&rest.collect::<Vec<_>>())
    }

    /// Feeds ids, `[rows, seq]`, and returns each row's next token.
    fn step(&mut self, ids: &[u32], padding: &PaddingMask) -> Result<Vec<u32>, ModelError> {
        let ids = tensor(self.model, ids, padding);
        let hidden = self
            .model
            .hidden_states(ids, padding, Some(&mut self.cache))?;
        // Rows are padded on the left, so the last position is every row's last token.
        let last = hidden.narrow(1, padding.seq() - 1, 1).squeeze_dim::<2>(1);
        let logits = self.model.head().finish_positions(last);
        if self.options.sampling.is_plain() {
            let likeliest = logits.argmax(1).try_into_vec_as::<u32>();
            return likeliest.map_err(|source| ModelError::Device { source });
        }
        let [_, vocab] = logits.dims();
        let mut logits = logits
            .try_into_vec_as::<f32>()
            .map_err(|source| ModelError::Device { source })?;
        let slots = logits.chunks_mut(vocab).enumerate();
        Ok(slots
            .map(|(slot, logits)| self.choose(slot, logits))
            .collect())
    }

    /// The next token of a row of the cache; of a finished one, any.
    fn choose(&mut self, slot: usize, logits: &mut [f32]) -> u32 {
        let row = self.live[slot];
        if self.is_done(row) {
            return 0;
        }
        self.options.sampling.process(logits, &self.text(row));
        self.samplers[row].choose(logits)
    }

    /// The tokens of a row so far.
    fn text(&self, row: usize) -> Vec<u32> {
        [&*self.prompts[row], &*self.rows[row].ids].concat()
    }

    fn is_done(&self, row: usize) -> bool {
        self.rows[row].stopped || self.rows[row].ids.len() >= self.room[row]
    }

    /// Adds a token to every row that goes on. Returns whether any still does.
    fn accept(
        &mut self,
        next: &[u32],
        watch: &mut impl FnMut(usize, u32) -> Result<ControlFlow<()>, ModelError>,
    ) -> Result<bool, ModelError> {
        for (row, id) in self.live.clone().into_iter().zip(next) {
            if self.is_done(row) {
                continue;
            }
            let stops = self.options.stop.contains(id);
            let continuation = &mut self.rows[row];
            continuation.stopped = stops;
            if !stops {
                continuation.ids.push(*id);
                continuation.stopped = watch(row, *id)?.is_break();
            }
        }
        Ok(self.live.iter().any(|row| !self.is_done(*row)))
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

    /// What to feed instead of the next tokens: all tokens, to the emptied cache, where the cache does
    /// not serve any longer.
    fn renew(&mut self, next: Vec<u32>, padding: PaddingMask) -> (Vec<u32>, PaddingMask) {
        let after = self.cache.longest_row_with(&padding);
        if self.model.cache_serves(self.cache.filled_at(), after) {
            return (next, padding);
        }
        self.cache.truncate(0);
        let texts: Vec<Vec<u32>> = self.live.iter().map(|row| self.text(*row)).collect();
        left_padded(&texts)
    }
}
