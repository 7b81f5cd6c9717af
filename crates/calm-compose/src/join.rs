//! Joining loaded models, and opening a composition over them.

use std::borrow::Cow;
use std::path::Path;

use calm_models::FrozenModel;

use crate::connection::check;
use crate::{
    Augmenting, BridgeConfig, BridgeOptions, ComposeError, ComposedModel, CompositionFile,
    Connection, FrozenParts, ModelHashes, OwnTokens,
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

impl CompositionFile {
    /// What it means by these checkpoints: the anchor, then every augmenting model.
    fn meant<'a>(
        &self,
        anchor: &'a FrozenModel,
        augmenting: &'a [FrozenModel],
    ) -> Vec<Cow<'a, FrozenModel>> {
        let augmenting = self.augmenting.iter().zip(augmenting);
        let augmenting = augmenting.map(|(reference, model)| reference.meant(model));
        std::iter::once(self.anchor.meant(anchor))
            .chain(augmenting)
            .collect()
    }
}

impl ComposedModel {
    /// Opens a composition over the models that it was made for.
    ///
    /// # Errors
    ///
    /// [`ComposeError::AugmentingCount`], [`ComposeError::OtherWeights`] or
    /// [`ComposeError::OtherTokenizer`] if these are other models, [`ComposeError::Malformed`] or [`ComposeError::Io`] if a file is damaged or
    /// missing, and those of [`FrozenParts::join`].
    pub fn load(
        directory: &Path,
        anchor: &FrozenModel,
        augmenting: &[FrozenModel],
    ) -> Result<Self, ComposeError> {
        let file = CompositionFile::read(directory)?;
        file.check_count(augmenting.len())?;
        let models = file.meant(anchor, augmenting);
        let hashes = models.iter().map(|model| ModelHashes::of(model));
        let hashes = hashes.collect::<Result<Vec<_>, _>>()?;
        file.check_models(directory, hashes[0], &hashes[1..])?;
        Self::open(&file, directory, &models)
    }

    /// Opens a composition that has been read over any models that its bridges fit, be they those
    /// that it was made for or not.
    ///
    /// # Errors
    ///
    /// Those of [`ComposedModel::load`], but for other weights and tokenizers.
    pub fn load_over(
        file: &CompositionFile,
        directory: &Path,
        anchor: &FrozenModel,
        augmenting: &[FrozenModel],
    ) -> Result<Self, ComposeError> {
        file.check_count(augmenting.len())?;
        Self::open(file, directory, &file.meant(anchor, augmenting))
    }

    /// `models` are the anchor and then every augmenting model.
    fn open(
        file: &CompositionFile,
        directory: &Path,
        models: &[Cow<'_, FrozenModel>],
    ) -> Result<Self, ComposeError> {
        let connections = file.connections.iter().cloned();
        let augmenting = models[1..].iter().map(AsRef::as_ref).zip(connections);
        let parts = FrozenParts::join(&models[0], augmenting)?.in_mode(file.mode);
        let bridges = file.read_bridges(directory, &parts, &parts.anchor.device())?;
        Ok(Self { parts, bridges })
    }
}
