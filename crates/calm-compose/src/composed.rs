//! The composed model m_A⊕B: an anchor, frozen augmenting models, and bridges between them.

use std::iter;

use burn::tensor::{Int, Tensor};
use calm_backend::FloatType;
use calm_models::{Context, Decoder, FrozenModel, KvCache, ModelError, PaddingMask};
use rayon::prelude::*;

use crate::connection::check;
use crate::tokens::{RowStream, TreeBatch};
use crate::visibility::{NewPositions, Visibility};
use crate::{
    BridgeConfig, BridgeOptions, Bridges, ComposeError, Connection, Mode, OwnTokens, PromptTexts,
    RowTokens,
};

/// An augmenting model and its connections to the anchor.
#[derive(Debug, Clone)]
pub struct Augmenting {
    /// m_A, frozen.
    pub decoder: Decoder,
    /// Connections, in the order of the anchor's blocks.
    pub connections: Vec<Connection>,
    /// Tokenizers of a model that does not read the anchor's token ids.
    pub tokens: Option<OwnTokens>,
    /// The part of a text that it reads.
    pub mode: Mode,
    /// Factor of what its bridges add to the anchor's hidden states. With 0 the model is not run at
    /// all. A cache that was filled with 0 must not be used with another factor, nor the reverse.
    pub scale: f64,
}

/// The frozen models of a composition: all of it but the bridges.
///
/// They live on a device without autodiff, so that no operation on their weights is ever recorded.
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

impl FrozenParts {
    /// Types in which the models compute, the anchor's first.
    pub fn compute_types(&self) -> impl Iterator<Item = FloatType> {
        let augmenting = self.augmenting.iter().map(|model| &model.decoder);
        let decoders = iter::once(&self.anchor).chain(augmenting);
        decoders.map(Decoder::compute_type)
    }
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

    pub(crate) fn is_active(&self) -> bool {
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

    /// The same over the anchor's ids, `[batch, seq]`.
    pub(crate) fn states_of_ids(
        &self,
        ids: Tensor<2, Int>,
        padding: &PaddingMask,
        mut cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let context = Context::new(&self.decoder, padding, cache.as_deref_mut());
        self.connected_states(ids, &context, cache)
    }

    /// The same over trees of the model's own tokens.
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
    /// Joins an anchor and augmenting models. A model whose vocabulary gives some token another id
    /// than the anchor's reads the text in tokens of its own.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Connections`] if a connection names a block that does not exist.
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

    /// Per augmenting model, sizes of the paper's bridges and connections, for [`Bridges::init`].
    pub fn bridge_sets(&self, heads: usize) -> Vec<(BridgeConfig, Vec<Connection>)> {
        self.bridge_sets_with(heads, BridgeOptions::paper())
    }

    /// [`FrozenParts::bridge_sets`] with other options than the paper's.
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

    /// The same models, all augmenting ones in this mode.
    #[must_use]
    pub fn in_mode(mut self, mode: Mode) -> Self {
        for augmenting in &mut self.augmenting {
            augmenting.mode = mode;
        }
        self
    }

    /// Tokens that the augmenting models read of whole texts. A row is the anchor's ids of a text,
    /// without padding, and the number of them that are its prompt.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a model has no token for a part of a text, or no room for it.
    pub fn read_rows(&self, rows: &[(&[u32], usize)]) -> Result<Vec<RowTokens>, ModelError> {
        let none = PromptTexts::new();
        let rows = rows.iter().map(|(ids, prompt)| (*ids, *prompt, &none));
        let own = self.augmenting.iter().map(|model| model.tokens.clone());
        self.read_rows_in(&rows.collect::<Vec<_>>(), &own.collect::<Vec<_>>())
    }

    /// [`FrozenParts::read_rows`] of texts that may begin with prompts of which models read renderings
    /// of their own, as in generating. `own` has for every augmenting model the tokenizers of the
    /// other texts, if it reads in tokens of its own: all rows that are ever put into one batch.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a model has no token for a part of a text, or no room for it.
    pub fn read_rows_in(
        &self,
        rows: &[(&[u32], usize, &PromptTexts)],
        own: &[Option<OwnTokens>],
    ) -> Result<Vec<RowTokens>, ModelError> {
        let read = |(ids, prompt, texts): &(&[u32], usize, &PromptTexts)| {
            let models = self.augmenting.iter().zip(own).enumerate();
            let of = models.map(|(index, (augmenting, own))| {
                let end = augmenting.mode.tokens_read(*prompt);
                match (texts.get(index), own) {
                    (Some(Some(text)), _) => RowStream::of_prompt(text).read(ids, end).map(Some),
                    (_, Some(own)) => own.read(ids, end).map(Some),
                    (_, None) => Ok(None),
                }
            });
            Ok(RowTokens {
                of: of.collect::<Result<_, ModelError>>()?,
            })
        };
        rows.par_iter().map(read).collect()
    }

    /// The anchor's first connected block, counted from 1; all blocks if nothing is connected.
    pub fn first_connected(&self) -> usize {
        let connections = self
            .active_models()
            .flat_map(|(_, model)| &model.connections);
        let blocks = connections.map(|connection| connection.anchor_block);
        blocks.min().unwrap_or(self.anchor.block_count())
    }

    /// Augmenting models whose scale is not 0, with their numbers.
    pub(crate) fn active_models(&self) -> impl Iterator<Item = (usize, &Augmenting)> {
        let models = self.augmenting.iter().enumerate();
        models.filter(|(_, model)| model.is_active())
    }

    /// Active augmenting models that read the anchor's token ids.
    pub(crate) fn readers_of_anchor_ids(&self) -> impl Iterator<Item = &Decoder> {
        let models = self.augmenting.iter();
        let models = models.filter(|model| model.is_active() && model.tokens.is_none());
        models.map(|model| &model.decoder)
    }
}
