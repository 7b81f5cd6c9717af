//! The forward pass of a composition, for decoding and for training.
//!
//! ```text
//! ids ─ augmenting models ─► states ─ sources ─► memory        per connection
//! ids ─ embed ─► block 1 … block j ─ + bridge(memory) ─► block j + 1 … ─► hidden states
//! ```
//!
//! Decoding runs all of it, with a cache. Training runs the [`TrainableSuffix`] without a cache:
//! from the anchor's first connected block up, over states that [`CachedActivations`] hold.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use calm_models::{Cache as _, ChosenPositions, Context, ModelError, PaddingMask};

use crate::cache::{AugmentingCache, ComposedCache};
use crate::source::Source;
use crate::tokens::{AugmentingTokens, BatchTokens, RowStream};
use crate::visibility::{AnchorPositions, Visibility, token_counts};
use crate::{Augmenting, Bridge, Bridges, CachedActivations, FrozenParts, Memory, Text};

/// Is told of every bridge before it is applied: its source, itself, its memory, and the anchor's
/// hidden states.
pub(crate) type Watch<'a> = dyn FnMut(&Source, &Bridge, &Memory, &Tensor<3>) + 'a;

/// The anchor's new tokens.
pub(crate) struct Input<'a> {
    /// `[batch, seq]`.
    pub(crate) ids: Tensor<2, Int>,
    pub(crate) padding: &'a PaddingMask,
}

/// The anchor's blocks, and all that bridges read, in one pass.
#[derive(Debug)]
struct Pass<'a> {
    parts: &'a FrozenParts,
    context: Context,
    /// The positions at which the last hidden states are needed, if not all, and the context of the
    /// last block.
    chosen: Option<(ChosenPositions, Context)>,
    /// By anchor block, then by augmenting model.
    sources: Vec<Source>,
}

/// The anchor from its first connected block up, and all that bridges read, for one batch of whole
/// texts: the part of a composition that depends on what is trained.
///
/// The last hidden states are computed at chosen positions only. The last block needs all positions
/// for its keys and values, and its queries at the chosen ones.
#[derive(Debug)]
pub struct TrainableSuffix<'a> {
    pass: Pass<'a>,
    chosen: ChosenPositions,
    start: Tensor<3>,
}

impl FrozenParts {
    /// The anchor's last hidden states as the bridges have changed them, before final norm and
    /// head.
    ///
    /// With a cache, `ids` follow the tokens that it holds, and it grows by them. In
    /// [`Mode::Encoder`](crate::Mode::Encoder) the first pass with a cache is the prompt, and stays
    /// so if the cache is truncated; without a cache everything is.
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
        self.forward(
            bridges,
            &Input { ids, padding },
            cache,
            &mut |_, _, _, _| {},
        )
    }

    /// The part of a pass over whole texts that is left once their activations are known, with the
    /// last hidden states at the `chosen` positions.
    ///
    /// `perturb` changes the states that bridges read, from and to
    /// `[batch, seq_augmenting, d_augmenting]`: for regularisation.
    ///
    /// # Panics
    ///
    /// If the activations are not those of these texts.
    pub fn trainable_suffix(
        &self,
        texts: &[Text<'_>],
        activations: CachedActivations,
        chosen: ChosenPositions,
        mut perturb: impl FnMut(Tensor<3>) -> Tensor<3>,
    ) -> TrainableSuffix<'_> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let prompts: Vec<usize> = texts.iter().map(|text| text.prompt).collect();
        let padding = PaddingMask::right(&lengths);
        let context = Context::new(&self.anchor, &padding, None);
        let anchor = AnchorPositions {
            padding: &padding,
            prompts: &prompts,
            context: &context,
        };
        let nothing_held = PaddingMask::none(texts.len(), 0);
        let mut sources = Vec::new();
        for ((index, model), states) in self.active_models().zip(activations.augmenting) {
            let own = Augmenting::own_tokens(index, texts);
            let held = nothing_held.clone();
            let visibility = Visibility::new(model.mode, &anchor, held, own.as_deref());
            let visibility = Arc::new(visibility);
            let keys = visibility.new_count();
            // There is nothing to see of a model that has read nothing.
            let states = (keys > 0).then(|| states.into_iter().map(&mut perturb).collect());
            let made = self.sources(index, states, &visibility, keys, &anchor);
            sources.extend(made);
        }
        let last = context.choosing(&chosen);
        let mut pass = Pass::new(self, context, sources);
        for source in &mut pass.sources {
            if source.connection.anchor_block == self.anchor.block_count() {
                source.masked = source.masked.take().map(|masked| chosen.queries(masked));
            }
        }
        pass.chosen = Some((chosen.clone(), last));
        TrainableSuffix {
            pass,
            chosen,
            start: activations.anchor,
        }
    }

    pub(crate) fn forward(
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
        let rows = self.read_own_tokens(input, &prompts, cache.as_deref_mut())?;
        if let Some(cache) = cache.as_deref_mut()
            && !cache.serves(self, &rows)
        {
            return self.start_over(bridges, input, cache, watch);
        }
        let anchor_cache = cache.as_deref_mut().map(|cache| &mut cache.anchor);
        let context = Context::new(&self.anchor, input.padding, anchor_cache);
        let anchor = AnchorPositions {
            padding: input.padding,
            prompts: &prompts,
            context: &context,
        };
        let mut sources = Vec::new();
        let mut read = Vec::new();
        for (index, _) in self.active_models() {
            let cache = cache
                .as_deref_mut()
                .map(|cache| &mut cache.augmenting[index]);
            let own = rows[index].as_deref();
            let (visibility, made) = self.read(index, &anchor, &input.ids, own, cache);
            sources.extend(made);
            read.push((index, visibility));
        }
        let hidden = self.anchor.embed(input.ids.clone(), &context);
        let pass = Pass::new(self, context, sources);
        let blocks = 0..self.anchor.block_count();
        let hidden = pass.run(bridges, blocks, hidden, cache.as_deref_mut(), watch);
        if let Some(cache) = cache {
            for (index, visibility) in &read {
                cache.augmenting[*index].settle(visibility);
            }
        }
        Ok(hidden)
    }

    /// New tokens of the models that read in tokens of their own.
    fn read_own_tokens(
        &self,
        input: &Input<'_>,
        prompts: &[usize],
        mut cache: Option<&mut ComposedCache>,
    ) -> Result<Vec<Option<BatchTokens>>, ModelError> {
        let models = self.augmenting.iter().enumerate();
        let of = models.map(|(index, model)| {
            let cache = cache.as_deref_mut();
            let streams = cache.map(|cache| cache.augmenting[index].streams.as_deref_mut());
            let ends = prompts.iter().map(|end| model.mode.tokens_read(*end));
            let ends: Vec<usize> = ends.collect();
            let own = match (streams, &model.tokens) {
                _ if !model.is_active() => return Ok(None),
                (Some(None), _) | (None, None) => return Ok(None),
                (Some(Some(streams)), _) => {
                    RowStream::read_batch(streams, &input.real_ids()?, &ends)
                }
                (None, Some(tokens)) => tokens.read_batch(&input.real_ids()?, &ends),
            };
            own.map(Some)
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
        let all = cache.anchor.positions().followed_by(input.padding);
        let ids = spread(&cache.texts(), &all);
        cache.truncate(0);
        let input = Input {
            ids: Tensor::from_data(ids, &input.ids.device()),
            padding: &all,
        };
        let hidden = self.forward(bridges, &input, Some(cache), watch)?;
        Ok(hidden.narrow(1, past, seq))
    }

    /// Runs an augmenting model over its new positions, and makes of the output of its connected
    /// blocks the sources of their bridges.
    fn read(
        &self,
        index: usize,
        anchor: &AnchorPositions<'_>,
        ids: &Tensor<2, Int>,
        own: Option<&[AugmentingTokens]>,
        mut cache: Option<&mut AugmentingCache>,
    ) -> (Arc<Visibility>, Vec<Source>) {
        let model = &self.augmenting[index];
        let held = match (cache.as_deref_mut(), own) {
            (None, _) => PaddingMask::none(anchor.padding.batch(), 0),
            (Some(cache), None) => cache.bridges.positions().clone(),
            (Some(cache), Some(rows)) => {
                cache.roll_back(rows);
                cache.bridges.positions().clone()
            }
        };
        let visibility = Arc::new(Visibility::new(model.mode, anchor, held, own));
        let (model_cache, bridge_cache) = cache
            .map(|cache| (&mut cache.model, &mut cache.bridges))
            .unzip();
        let states = model.states(ids, &visibility, model_cache);
        let keys = match bridge_cache {
            Some(cache) => visibility.reserve(cache),
            None => visibility.new_count(),
        };
        let sources = self.sources(index, states, &visibility, keys, anchor);
        (visibility, sources)
    }

    /// The sources of an augmenting model's bridges, out of the states of its connected blocks.
    fn sources(
        &self,
        index: usize,
        states: Option<Vec<Tensor<3>>>,
        visibility: &Arc<Visibility>,
        keys: usize,
        anchor: &AnchorPositions<'_>,
    ) -> Vec<Source> {
        let (model, device) = (&self.augmenting[index], self.anchor.device());
        let masked = visibility.masked(anchor, keys);
        let mut states = states.map(IntoIterator::into_iter);
        let connections = model.connections.iter().enumerate();
        let sources = connections.map(|(slot, connection)| Source {
            place: [index, slot],
            connection: *connection,
            state: states
                .as_mut()
                .and_then(Iterator::next)
                .map(|state| state.to_device(&device)),
            visibility: visibility.clone(),
            keys,
            masked: masked.clone(),
            scale: model.scale,
        });
        sources.collect()
    }
}

impl<'a> Pass<'a> {
    fn new(parts: &'a FrozenParts, context: Context, mut sources: Vec<Source>) -> Self {
        sources.sort_by_key(|source| source.connection.anchor_block);
        Self {
            parts,
            context,
            chosen: None,
            sources,
        }
    }

    /// Runs some of the anchor's blocks over `hidden`, the output of the block before them, each
    /// with what bridges add to its input, and the last with what they add to its output.
    ///
    /// # Shapes
    ///
    /// - `hidden` and output: `[batch, seq, d_anchor]`, of the last block
    ///   `[batch, computed, d_anchor]`
    fn run(
        &self,
        bridges: &Bridges,
        blocks: Range<usize>,
        mut hidden: Tensor<3>,
        mut cache: Option<&mut ComposedCache>,
        watch: &mut Watch<'_>,
    ) -> Tensor<3> {
        let (anchor, count) = (&self.parts.anchor, self.parts.anchor.block_count());
        if blocks == (count..count) {
            // All blocks are below the first bridge.
            let hidden = match &self.chosen {
                Some((chosen, _)) => chosen.computed(hidden),
                None => hidden,
            };
            return self.add_bridges(bridges, count, hidden, cache, watch);
        }
        for block in blocks {
            hidden = self.add_bridges(bridges, block, hidden, cache.as_deref_mut(), watch);
            let context = match &self.chosen {
                Some((_, last)) if block + 1 == count => last,
                _ => &self.context,
            };
            let anchor_cache = cache.as_deref_mut().map(|cache| &mut cache.anchor);
            hidden = anchor.run(block..block + 1, hidden, context, anchor_cache);
            if block + 1 == count {
                hidden = self.add_bridges(bridges, count, hidden, cache.as_deref_mut(), watch);
            }
        }
        hidden
    }

    /// The output of so many blocks with what bridges add to it.
    fn add_bridges(
        &self,
        bridges: &Bridges,
        blocks: usize,
        mut hidden: Tensor<3>,
        mut cache: Option<&mut ComposedCache>,
        watch: &mut Watch<'_>,
    ) -> Tensor<3> {
        let sources = self.sources.iter();
        for source in sources.filter(|source| source.connection.anchor_block == blocks) {
            let [model, slot] = source.place;
            let bridge = &bridges.of[model][slot];
            let cache = cache.as_deref_mut();
            let cache = cache.map(|cache| &mut cache.augmenting[model].bridges);
            // Before its first token a model has nothing to read.
            if let Some(memory) = source.memory(bridge, cache) {
                watch(source, bridge, &memory, &hidden);
                hidden = source.add_to(hidden, bridge, memory);
            }
        }
        hidden
    }
}

impl TrainableSuffix<'_> {
    /// The anchor's blocks that are left to run, 0-based.
    pub fn blocks(&self) -> Range<usize> {
        let parts = self.pass.parts;
        parts.first_connected()..parts.anchor.block_count()
    }

    /// The output of the anchor's first connected block, before bridges add to it,
    /// `[batch, seq, d_anchor]`.
    pub fn start(&self) -> Tensor<3> {
        self.start.clone()
    }

    /// The anchor's last hidden states as the bridges have changed them, before final norm and
    /// head, at the chosen positions, `[n, d_anchor]`.
    pub fn hidden_states(&self, bridges: &Bridges) -> Tensor<2> {
        self.at_chosen(self.run(bridges, self.blocks(), self.start()))
    }

    /// Runs all of it, and tells `watch` of every bridge.
    pub(crate) fn watched(&self, bridges: &Bridges, watch: &mut Watch<'_>) {
        self.pass
            .run(bridges, self.blocks(), self.start(), None, watch);
    }

    /// The output of the last block at the chosen positions.
    ///
    /// # Shapes
    ///
    /// - `hidden`: `[batch, computed, d_anchor]`
    /// - output: `[n, d_anchor]`
    pub fn at_chosen(&self, hidden: Tensor<3>) -> Tensor<2> {
        self.chosen.wanted(hidden)
    }

    /// Runs some of [`TrainableSuffix::blocks`] over `hidden`, the output of the block before them,
    /// each with what bridges add to its input, and the last with what they add to its output.
    ///
    /// # Shapes
    ///
    /// - `hidden` and output: `[batch, seq, d_anchor]`, of the last block
    ///   `[batch, computed, d_anchor]`
    pub fn run(&self, bridges: &Bridges, blocks: Range<usize>, hidden: Tensor<3>) -> Tensor<3> {
        self.pass
            .run(bridges, blocks, hidden, None, &mut |_, _, _, _| {})
    }
}

impl Input<'_> {
    /// The ids of every row without padding.
    fn real_ids(&self) -> Result<Vec<Vec<u32>>, ModelError> {
        let ids = self.ids.clone().try_into_vec_as::<u32>();
        let ids = ids.map_err(|source| ModelError::Device { source })?;
        let rows = ids.chunks(self.padding.seq().max(1)).enumerate();
        let rows = rows.map(|(row, ids)| {
            let ids = ids.iter().zip(self.padding.row(row));
            let real = ids.filter(|(_, real)| **real);
            real.map(|(id, _)| *id).collect()
        });
        Ok(rows.collect())
    }
}

/// Rows of ids at the real positions of `padding`, as a tensor's data.
fn spread(rows: &[&[u32]], padding: &PaddingMask) -> TensorData {
    let ids = rows.iter().enumerate().flat_map(|(row, ids)| {
        let mut ids = ids.iter();
        let real = padding.row(row).iter();
        real.map(move |real| {
            real.then(|| ids.next())
                .flatten()
                .map_or(0, |id| i64::from(*id))
        })
    });
    TensorData::new(ids.collect(), [padding.batch(), padding.seq()])
}
