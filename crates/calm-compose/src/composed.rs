//! The composed model m_A⊕B: an anchor that reads frozen augmenting models through bridges.

use burn::tensor::{Int, Tensor};
use calm_models::{CausalLm, Context, Decoder, KvCache, ModelError, PaddingMask};
use rayon::prelude::*;

use crate::tokens::TreeBatch;
use crate::visibility::{NewPositions, Visibility};
use crate::{Bridges, ComposedCache, ComposedPrompt, Connection, Mode, OwnTokens, RowTokens};

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

    /// Runs the model over its new positions as far as its last connected block, never its head.
    /// `ids` are the anchor's. Returns the output of each connection's block,
    /// `[batch, seq_augmenting, d_augmenting]`; none if there are no new positions.
    pub(crate) fn states(
        &self,
        ids: &Tensor<2, Int>,
        visibility: &Visibility,
        cache: Option<&mut KvCache>,
    ) -> Option<Vec<Tensor<3>>> {
        let states = match visibility.new_positions() {
            _ if visibility.new_count() == 0 => return None,
            NewPositions::OfAnchor(read) => {
                let ids = ids.clone().narrow(1, 0, read.seq());
                self.states_of_ids(ids.to_device(&self.decoder.device()), read, cache)
            }
            NewPositions::Own(trees) => self.states_of_trees(trees, cache),
        };
        Some(states)
    }

    pub(crate) fn states_of_ids(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::new(&self.decoder, padding, cache.as_deref_mut());
        self.connected_states(ids, &context, cache)
    }

    pub(crate) fn states_of_trees(
        &self,
        batch: &TreeBatch,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::of_trees(&self.decoder, &batch.trees, cache.as_deref_mut());
        let ids = batch.ids(&self.decoder.device());
        self.connected_states(ids, &context, cache)
    }

    fn connected_states(
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
}

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

    /// Models that read in tokens of their own see to it themselves, see `FrozenParts::start_over` in forward.rs.
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
