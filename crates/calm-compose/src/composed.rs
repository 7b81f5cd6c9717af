//! The composed model m_A⊕B: an anchor that reads frozen augmenting models through bridges.

use burn::tensor::{Int, Tensor};
use calm_models::{CausalLm, Context, Decoder, KvCache, PaddingMask};

use crate::cache::ComposedCache;
use crate::{Bridge, Bridges, Connection};

/// One augmenting model and where it is read.
#[derive(Debug, Clone)]
pub struct Augmenting {
    /// m_A, frozen.
    pub decoder: Decoder,
    /// Where the anchor reads it, in the order of the anchor's blocks.
    pub connections: Vec<Connection>,
}

/// An anchor and its augmenting models: everything of a composition but the bridges.
///
/// All models read the same token ids. None of them is trained: they live on a device without
/// autodiff, so that no operation on their weights is ever recorded.
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
    /// Runs the model as far as its last connected block, never its head, and returns the output
    /// of each connection's block, `[batch, seq, d_augmenting]`.
    pub(crate) fn connected_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::new(&self.decoder, padding, cache.as_deref_mut());
        let last = self
            .connections
            .iter()
            .map(|c| c.augmenting_block)
            .max()
            .unwrap_or(0);
        let mut hidden = self.decoder.embed(ids, &context);
        let mut states = vec![None; self.connections.len()];
        for block in 1..=last {
            hidden = self
                .decoder
                .run(block - 1..block, hidden, &context, cache.as_deref_mut());
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

/// What one bridge reads in one pass.
struct Reading<'a> {
    anchor_block: usize,
    bridge: &'a Bridge,
    keys: Tensor<4>,
    values: Tensor<4>,
}

impl FrozenParts {
    /// The anchor's last hidden states as the bridges have changed them, before final norm and
    /// head.
    ///
    /// With a cache, `ids` follow the tokens that it holds, and it grows by them. Where the
    /// bridges are trained, the graph begins at the first connected anchor block: below it, and
    /// in the augmenting models, everything is constant.
    ///
    /// # Shapes
    ///
    /// - `ids`: `[batch, seq]`
    /// - output: `[batch, seq, d_anchor]`
    pub fn hidden_states(
        &self,
        bridges: &Bridges,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
    ) -> Tensor<3> {
        self.pass(bridges, ids, padding, cache, &mut |state| state)
    }

    /// [`FrozenParts::hidden_states`] without a cache, where `perturb` changes what the bridges get
    /// to see of the augmenting models: for regularisation in training.
    ///
    /// # Shapes
    ///
    /// - `perturb`: from and to `[batch, seq, d_augmenting]`
    /// - others as of [`FrozenParts::hidden_states`]
    pub fn perturbed_hidden_states(
        &self,
        bridges: &Bridges,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut perturb: impl FnMut(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        self.pass(bridges, ids, padding, None, &mut perturb)
    }

    fn pass(
        &self,
        bridges: &Bridges,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
        perturb: &mut dyn FnMut(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        let (mut anchor_cache, augmenting_caches) = cache.map(ComposedCache::split).unzip();
        let context = Context::new(&self.anchor, padding, anchor_cache.as_deref_mut());
        let readings = self.readings(bridges, &ids, padding, augmenting_caches, perturb);

        let mut hidden = self.anchor.embed(ids, &context);
        let mut done = 0;
        for reading in readings {
            let block = reading.anchor_block;
            hidden = self
                .anchor
                .run(done..block, hidden, &context, anchor_cache.as_deref_mut());
            done = block;
            // Both models read the same tokens, so what the anchor may see of itself is what it
            // may see of the augmenting model: positions up to its own that are not padding.
            let masked = context.masked();
            hidden = reading
                .bridge
                .forward(hidden, reading.keys, reading.values, masked);
        }
        let end = self.anchor.block_count();
        self.anchor.run(done..end, hidden, &context, anchor_cache)
    }

    /// Keys and values for every bridge, in the order in which the anchor comes by: by its block,
    /// then by augmenting model.
    fn readings<'a>(
        &self,
        bridges: &'a Bridges,
        ids: &Tensor<2, Int>,
        padding: &PaddingMask,
        caches: Option<&mut [crate::cache::AugmentingCache]>,
        perturb: &mut dyn FnMut(Tensor<3>) -> Tensor<3>,
    ) -> Vec<Reading<'a>> {
        let mut caches = caches.map(|caches| caches.iter_mut());
        let mut readings = Vec::new();
        for (augmenting, bridges) in self.augmenting.iter().zip(&bridges.of) {
            let cache = caches.as_mut().and_then(Iterator::next);
            let (model_cache, mut bridge_cache) = cache
                .map(|cache| (&mut cache.model, &mut cache.bridges))
                .unzip();
            let ids = ids.clone().to_device(&augmenting.decoder.device());
            let states = augmenting.connected_states(ids, padding, model_cache);
            let past = bridge_cache
                .as_deref_mut()
                .map(|cache| cache.reserve(padding));
            for (slot, ((state, bridge), connection)) in states
                .into_iter()
                .zip(bridges)
                .zip(&augmenting.connections)
                .enumerate()
            {
                let state = perturb(state).to_device(&self.anchor.device());
                let (keys, values) = bridge.keys_values(state);
                let (keys, values) = match (bridge_cache.as_deref_mut(), past) {
                    (Some(cache), Some(past)) => cache.append(slot, past, keys, values),
                    _ => (keys, values),
                };
                let anchor_block = connection.anchor_block;
                readings.push(Reading {
                    anchor_block,
                    bridge,
                    keys,
                    values,
                });
            }
        }
        readings.sort_by_key(|reading| reading.anchor_block);
        readings
    }
}

impl CausalLm for ComposedModel {
    type Cache = ComposedCache;

    fn new_cache(&self, batch: usize) -> ComposedCache {
        ComposedCache::new(&self.parts, batch)
    }

    fn hidden_states(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        cache: Option<&mut ComposedCache>,
    ) -> Tensor<3> {
        self.parts.hidden_states(&self.bridges, ids, padding, cache)
    }

    fn head(&self) -> &Decoder {
        &self.parts.anchor
    }

    fn cache_serves(&self, before: usize, after: usize) -> bool {
        let augmenting = self.parts.augmenting.iter().map(|model| &model.decoder);
        std::iter::once(&self.parts.anchor)
            .chain(augmenting)
            .all(|decoder| decoder.cache_serves(before, after))
    }

    /// The anchor's, unless an augmenting model knows no positions so far.
    fn context_length(&self) -> usize {
        let augmenting = self
            .parts
            .augmenting
            .iter()
            .map(|model| model.decoder.config());
        augmenting
            .filter(|config| config.learnt_positions)
            .map(|config| config.context_length)
            .fold(self.parts.anchor.config().context_length, usize::min)
    }
}
