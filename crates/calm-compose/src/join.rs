//! Joining loaded models.

use calm_models::FrozenModel;

use crate::connection::check;
use crate::{
    Augmenting, BridgeConfig, BridgeOptions, ComposeError, Connection, FrozenParts, OwnTokens,
};

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
}
