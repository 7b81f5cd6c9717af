//! The composed model m_A⊕B: an anchor that reads frozen augmenting models through bridges.

use burn::tensor::{Int, Tensor};
use calm_models::{Cache as _, CausalLm, Context, Decoder, KvCache, ModelError, PaddingMask};
use rayon::prelude::*;

use crate::cache::{AugmentingCache, ComposedCache};
use crate::reading::{BatchTokens, Input, New, Reading, spread, token_counts};
use crate::tokens::{OwnTokens, RowTokens};
use crate::{Bridges, ComposedPrompt, Connection, Mode};

/// One augmenting model and where it is read.
#[derive(Debug, Clone)]
pub struct Augmenting {
    /// m_A, frozen.
    pub decoder: Decoder,
    /// Where the anchor reads it, in the order of the anchor's blocks.
    pub connections: Vec<Connection>,
    /// How it reads the anchor's text, if not in the anchor's own token ids.
    pub tokens: Option<OwnTokens>,
    /// How much of a text it reads.
    pub mode: Mode,
    /// What its bridges add to the anchor is multiplied by this. With 0 it is switched off and not
    /// run at all; then a cache must not be used that was filled while it was on, nor one filled
    /// before it is switched on again.
    pub scale: f64,
}

/// An anchor and its augmenting models: everything of a composition but the bridges.
///
/// None of them is trained: they live on a device without autodiff, so that no operation on their
/// weights is ever recorded.
#[derive(Debug, Clone)]
pub struct FrozenParts {
    /// m_B.
    pub anchor: Decoder,
    /// Every m_A.
    pub augmenting: Vec<Augmenting>,
}

/// Frozen models and the bridges between them, ready to generate.
#[derive(Debug, Clone)]
pub struct ComposedModel {
    /// m_B and every m_A.
    pub parts: FrozenParts,
    /// Θ_C.
    pub bridges: Bridges,
}

/// Is told of every bridge on the way of a pass, and of the anchor's hidden states before it.
pub(crate) type Watch<'a> = dyn FnMut(&Reading<'_>, &Tensor<3>) + 'a;

impl Augmenting {
    /// A model that reads the anchor's own token ids.
    pub fn new(decoder: Decoder, connections: Vec<Connection>) -> Self {
        Self {
            decoder,
            connections,
            tokens: None,
            mode: Mode::default(),
            scale: 1.0,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.scale != 0.0
    }

    /// Runs the model as far as its last connected block, never its head, and returns the output
    /// of each connection's block, `[batch, seq, d_augmenting]`.
    pub(crate) fn connected_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::new(&self.decoder, padding, cache.as_deref_mut());
        self.states(ids, &context, cache)
    }

    pub(crate) fn states(
        &self,
        ids: Tensor<2, Int>,
        context: &Context,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let last = self
            .connections
            .iter()
            .map(|c| c.augmenting_block)
            .max()
            .unwrap_or(0);
        let mut hidden = self.decoder.embed(ids, context);
        let mut states = vec![None; self.connections.len()];
        for block in 1..=last {
            hidden = self
                .decoder
                .run(block - 1..block, hidden, context, cache.as_deref_mut());
            for (state, connection) in states.iter_mut().zip(&self.connections) {
                if connection.augmenting_block == block {
                    *state = Some(hidden.clone());
                }
            }
        }
        states
            .into_iter()
            .map(|state| state.expect("every connected block has been run"))
            .collect()
    }
}

impl FrozenParts {
    /// The same, where all augmenting models read so much of a text.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        for augmenting in &mut self.augmenting {
            augmenting.mode = mode;
        }
        self
    }

    /// The anchor's last hidden states as the bridges have changed them, before final norm and
    /// head.
    ///
    /// With a cache, `ids` follow the tokens that it holds, and it grows by them. In
    /// [`Mode::Encoder`] the first pass with a cache is the prompt, and stays so if the cache is
    /// truncated; without a cache everything is. Training takes another way: [`FrozenParts::upper`].
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`
    /// - output: `[batch, seq, d_anchor]`
    ///
    /// # Errors
    ///
    /// [`ModelError`] if an augmenting model with tokens of its own cannot read the text. The cache
    /// is of no use then.
    pub fn hidden_states(
        &self,
        bridges: &Bridges,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
    ) -> Result<Tensor<3>, ModelError> {
        self.pass(bridges, &Input { ids, padding }, cache, &mut |_, _| {})
    }

    /// What the augmenting models read of these rows of anchor tokens, each with the first token of
    /// its text, without padding, and with the number of tokens of its prompt.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if one of them has no token for a part of a text, or no room for it.
    pub fn read_rows(&self, rows: &[(&[u32], usize)]) -> Result<Vec<RowTokens>, ModelError> {
        let read = |(ids, prompt): &(&[u32], usize)| {
            let of = self.augmenting.iter().map(|augmenting| {
                let tokens = augmenting.tokens.as_ref();
                let end = augmenting.mode.read_of(*prompt);
                tokens.map(|tokens| tokens.read(ids, end)).transpose()
            });
            Ok(RowTokens {
                of: of.collect::<Result<_, ModelError>>()?,
            })
        };
        rows.par_iter().map(read).collect()
    }

    fn reading_the_anchors_ids(&self) -> impl Iterator<Item = &Decoder> {
        let models = self.augmenting.iter();
        let models = models.filter(|model| model.is_on() && model.tokens.is_none());
        models.map(|model| &model.decoder)
    }

    pub(crate) fn pass(
        &self,
        bridges: &Bridges,
        input: &Input<'_>,
        mut cache: Option<&mut ComposedCache>,
        watch: &mut Watch<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let prompts = match cache.as_deref_mut() {
            Some(cache) => cache.prompts(input.padding),
            None => token_counts(input.padding),
        };
        let rows = self.own_tokens(input, &prompts, cache.as_deref_mut())?;
        if let Some(cache) = cache.as_deref_mut()
            && !cache.serves(self, &rows)
        {
            return self.start_over(bridges, input, cache, watch);
        }
        let (mut anchor_cache, augmenting_caches) = cache.map(ComposedCache::split).unzip();
        let context = Context::new(&self.anchor, input.padding, anchor_cache.as_deref_mut());
        let new = New {
            input,
            prompts: &prompts,
            rows: &rows,
            context: &context,
        };
        let readings = self.readings(bridges, &new, augmenting_caches);

        let mut hidden = self.anchor.embed(input.ids.clone(), &context);
        let mut done = 0;
        for reading in readings {
            let block = reading.connection.anchor_block;
            hidden = self
                .anchor
                .run(done..block, hidden, &context, anchor_cache.as_deref_mut());
            done = block;
            watch(&reading, &hidden);
            hidden = reading.add_to(hidden);
        }
        let end = self.anchor.block_count();
        Ok(self.anchor.run(done..end, hidden, &context, anchor_cache))
    }

    /// The new tokens of the models that read in tokens of their own.
    fn own_tokens(
        &self,
        input: &Input<'_>,
        prompts: &[usize],
        cache: Option<&mut ComposedCache>,
    ) -> Result<Vec<Option<BatchTokens>>, ModelError> {
        let mut caches = cache.map(|cache| cache.split().1.iter_mut());
        let of = self.augmenting.iter().map(|model| {
            let cache = caches.as_mut().and_then(Iterator::next);
            match &model.tokens {
                Some(tokens) if model.is_on() => {
                    let streams = cache.and_then(|cache| cache.streams.as_deref_mut());
                    let prompts = prompts.iter().map(|prompt| model.mode.read_of(*prompt));
                    let ends: Vec<usize> = prompts.collect();
                    input.read(tokens, &ends, streams).map(Some)
                }
                _ => Ok(None),
            }
        });
        of.collect()
    }

    /// A pass over all positions so far instead of over the new ones only, into an empty cache.
    fn start_over(
        &self,
        bridges: &Bridges,
        input: &Input<'_>,
        cache: &mut ComposedCache,
        watch: &mut Watch<'_>,
    ) -> Result<Tensor<3>, ModelError> {
        let (past, seq) = (cache.len(), input.padding.seq());
        let all = cache.anchor().positions().followed_by(input.padding);
        let ids = spread(&cache.texts(), &all);
        cache.truncate(0);
        let input = Input {
            ids: Tensor::from_data(ids, &input.ids.device()),
            padding: &all,
        };
        let hidden = self.pass(bridges, &input, Some(cache), watch)?;
        Ok(hidden.narrow(1, past, seq))
    }

    /// Keys and values for every bridge, in the order in which the anchor comes by: by its block,
    /// then by augmenting model.
    fn readings<'a>(
        &self,
        bridges: &'a Bridges,
        new: &New<'_, '_>,
        caches: Option<&mut [AugmentingCache]>,
    ) -> Vec<Reading<'a>> {
        let device = self.anchor.device();
        let mut caches = caches.map(|caches| caches.iter_mut());
        let mut readings = Vec::new();
        let models = self.augmenting.iter().zip(&bridges.of).zip(new.rows);
        for (model, ((augmenting, bridges), rows)) in models.enumerate() {
            let mut cache = caches.as_mut().and_then(Iterator::next);
            if !augmenting.is_on() {
                continue;
            }
            let shown = match rows {
                None => augmenting.show(new, cache.as_deref_mut()),
                Some(rows) => augmenting.show_own(rows, new.input, &device, cache.as_deref_mut()),
            };
            let mut states = shown.states.map(IntoIterator::into_iter);
            for (slot, bridge) in bridges.iter().enumerate() {
                let state = states.as_mut().and_then(Iterator::next);
                let new = state.map(|state| bridge.keys_values(state.to_device(&device)));
                let bridge_cache = cache.as_deref_mut().map(|cache| &mut cache.bridges);
                let all = match (new, bridge_cache) {
                    (Some((keys, values)), Some(cache)) => {
                        Some(cache.append(slot, shown.past, keys, values))
                    }
                    (None, Some(cache)) => cache.stored(slot),
                    (new, None) => new,
                };
                // Before its first token a model has nothing to show.
                readings.extend(all.map(|(keys, values)| Reading {
                    place: [model, slot],
                    connection: augmenting.connections[slot],
                    bridge,
                    keys,
                    values,
                    masked: shown.masked.clone(),
                    scale: augmenting.scale,
                }));
            }
            if let (Some(cache), Some(batch)) = (cache, &shown.trees) {
                cache.settle(batch);
            }
        }
        readings.sort_by_key(|reading| reading.connection.anchor_block);
        readings
    }
}

impl CausalLm for ComposedModel {
    type Cache = ComposedCache;
    type Prompt = ComposedPrompt;

    fn new_cache(&self, batch: usize) -> ComposedCache {
        ComposedCache::new(&self.parts, batch)
    }

    fn cache_for(&self, prompt: &ComposedPrompt) -> ComposedCache {
        self.new_cache(1).with_prompt(&self.parts, prompt)
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
        prompt.texts.is_empty() && models.all(|model| model.mode == Mode::Iterative)
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
