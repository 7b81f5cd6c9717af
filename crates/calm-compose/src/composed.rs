//! The composed model m_A⊕B: an anchor that reads frozen augmenting models through bridges.

use burn::tensor::{Int, Tensor};
use calm_models::{Context, Decoder, FrozenModel, KvCache, ModelError, PaddingMask};
use rayon::prelude::*;

use crate::connection::check;
use crate::tokens::TreeBatch;
use crate::visibility::{NewPositions, Visibility};
use crate::{
    BridgeConfig, BridgeOptions, Bridges, ComposeError, Connection, Mode, OwnTokens, RowTokens,
};

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
    /// Puts an anchor and augmenting models together. A model in which some token has another id
    /// than in the anchor reads the text in tokens of its own.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Connections`] if a connection names a block that there is not.
    pub fn join<'a>(
        anchor: &FrozenModel,
        augmenting: impl IntoIterator<Item = (&'a FrozenModel, Vec<Connection>)>,
    ) -> Result<Self, ComposeError> {
        let mut joined = Vec::new();
        for (model, connections) in augmenting {
            let decoder = model.decoder.clone();
            check(
                &connections,
                decoder.block_count(),
                anchor.decoder.block_count(),
            )?;
            joined.push(Augmenting {
                tokens: OwnTokens::of(model, anchor),
                ..Augmenting::new(decoder, connections)
            });
        }
        Ok(Self {
            anchor: anchor.decoder.clone(),
            augmenting: joined,
        })
    }

    /// What [`Bridges::init`](crate::Bridges::init) makes the paper's bridges of these models from.
    pub fn bridge_sets(&self, heads: usize) -> Vec<(BridgeConfig, Vec<Connection>)> {
        self.bridge_sets_with(heads, BridgeOptions::default())
    }

    /// [`FrozenParts::bridge_sets`] of bridges with these options.
    pub fn bridge_sets_with(
        &self,
        heads: usize,
        options: BridgeOptions,
    ) -> Vec<(BridgeConfig, Vec<Connection>)> {
        let d_anchor = self.anchor.config().d_model;
        let sets = self.augmenting.iter().map(|augmenting| {
            let config = BridgeConfig {
                d_augmenting: augmenting.decoder.config().d_model,
                d_anchor,
                heads,
                options,
            };
            (config, augmenting.connections.clone())
        });
        sets.collect()
    }

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

    /// The anchor's first connected block, counted from 1; all blocks if nothing is connected.
    pub fn first_connected(&self) -> usize {
        let connections = self.models_on().flat_map(|(_, model)| &model.connections);
        let blocks = connections.map(|connection| connection.anchor_block);
        blocks.min().unwrap_or(self.anchor.block_count())
    }

    /// Augmenting models whose bridges add anything, with their numbers.
    pub(crate) fn models_on(&self) -> impl Iterator<Item = (usize, &Augmenting)> {
        let models = self.augmenting.iter().enumerate();
        models.filter(|(_, model)| model.is_on())
    }

    pub(crate) fn reading_the_anchors_ids(&self) -> impl Iterator<Item = &Decoder> {
        let models = self.augmenting.iter();
        let models = models.filter(|model| model.is_on() && model.tokens.is_none());
        models.map(|model| &model.decoder)
    }
}
