//! Training of bridges between models that are loaded already.

use burn::module::Module;
use burn::tensor::Device;
use calm_compose::{Bridges, Composition, CompositionFile, FrozenParts, RowTokens};
use calm_data::Batches;

use super::Observer;
use super::config::ActivationConfig;
use super::training::{FitOptions, fit};
use crate::reading::read_all;
use crate::{
    ActivationCache, AnchorMasking, BridgeTraining, Keep, RunDir, RunProgress, TrainConfig,
    TrainError, calibrate, calibrate_trained,
};

/// Settings of [`train_bridges`].
#[derive(Debug, Clone)]
pub struct BridgeTrainingConfig {
    /// Optimiser, schedule and number of steps.
    pub train: TrainConfig,
    /// Noise on the hidden states of the augmenting models, as in [`BridgeTraining::with_noise`].
    pub noise: f64,
    /// Words that models are not shown. Default: none. The examples need to know their words.
    pub masking: Option<AnchorMasking>,
    /// Whether to trade time for memory, as in [`BridgeTraining::with_checkpointing`].
    pub gradient_checkpointing: bool,
    /// Hidden states that are kept from epoch to epoch. Default: none, for they may take more memory
    /// than the models.
    pub activations: ActivationConfig,
}

impl Default for BridgeTrainingConfig {
    fn default() -> Self {
        Self {
            train: TrainConfig::default(),
            noise: 0.0,
            masking: None,
            gradient_checkpointing: false,
            activations: ActivationConfig::off(),
        }
    }
}

impl BridgeTrainingConfig {
    /// The cache of the hidden states of these models; none if it would not be read from. A run that
    /// is only described leaves no file behind.
    pub(super) fn open_cache(
        &self,
        parts: &FrozenParts,
        file: &CompositionFile,
        batches: &Batches,
        tokens: Option<&[RowTokens]>,
        is_described: bool,
    ) -> Result<Option<ActivationCache>, TrainError> {
        let all = self.train.steps * self.train.accumulation;
        let epochs = all as f64 / batches.per_epoch() as f64;
        self.activations
            .open(parts, file, batches, tokens, epochs, is_described)
    }

    /// An objective with these settings.
    pub(super) fn objective<'a>(
        &self,
        objective: BridgeTraining<'a>,
        cache: Option<&'a ActivationCache>,
    ) -> BridgeTraining<'a> {
        let objective = objective
            .with_noise(self.noise)
            .with_checkpointing(self.gradient_checkpointing);
        match cache {
            Some(cache) => objective.with_cache(cache),
            None => objective,
        }
    }
}

/// Trains all bridges of a composition (section 3.1 of the paper) on batches of its anchor's
/// tokens, and puts the trained ones back. They are first fitted to the hidden states of batch 0.
/// `name` is what the observer is told that the run is called.
///
/// With a directory, the run goes on from the newest checkpoint in it; the composition must then be
/// the one that it began with. The composition so far is saved there at every checkpoint, so that
/// it can be opened before the run is over. [`ComposeRun`](super::ComposeRun) trains from files, and
/// also knows validation and further devices.
///
/// # Errors
///
/// As of [`fit`], and [`TrainError::Model`] if an augmenting model cannot read an example.
pub fn train_bridges(
    name: &str,
    mut composition: Composition,
    batches: &Batches,
    config: &BridgeTrainingConfig,
    directory: Option<RunDir>,
    observer: &mut dyn Observer,
) -> Result<Composition, TrainError> {
    let model = &composition.model;
    let device = composition.device();
    let bridges = calibrated(&model.parts, model.bridges.clone(), &device, batches)?;
    let tokens = read_all(&model.parts, batches.examples(), &[])?;
    if let Some(masking) = &config.masking {
        masking.check_tokens(tokens.as_deref())?;
    }
    let cache = match config.activations.is_on() {
        true => {
            let (parts, file) = (&model.parts, composition.file()?);
            config.open_cache(parts, &file, batches, tokens.as_deref(), false)?
        }
        false => None,
    };
    let mut objective = BridgeTraining::new(&model.parts);
    if let Some(tokens) = &tokens {
        objective = objective.with_tokens(tokens);
    }
    let objective = config.objective(objective, cache.as_ref());
    let saved = directory.as_ref().map(|directory| {
        let (path, composition) = (directory.path().to_owned(), &composition);
        move |bridges: &Bridges, _: &RunProgress| {
            let mut so_far = composition.clone();
            so_far.model.bridges = bridges.valid();
            Ok(so_far.save(&path)?)
        }
    });
    let options = FitOptions {
        directory,
        keep: saved.map(|save| Box::new(save) as Keep<'_, Bridges>),
        ..FitOptions::default()
    };
    let train = config.train.clone();
    let batches = |number| match &config.masking {
        None => Ok(batches.batch(number)?),
        Some(masking) => masking.batch(batches, number, &config.train),
    };
    let trainer = fit(
        name, &objective, bridges, train, options, &batches, observer,
    )?;
    let bridges = trainer.into_parameters().valid();
    composition.model.bridges = bridges;
    Ok(composition)
}

/// Fresh bridges with gradients, fitted to the hidden states of batch 0.
pub(super) fn calibrated(
    parts: &FrozenParts,
    fresh: Bridges,
    device: &Device,
    batches: &Batches,
) -> Result<Bridges, TrainError> {
    let bridges = fresh.fork(&device.clone().autodiff()).train();
    Ok(calibrate(parts, bridges, &batches.batch(0)?)?)
}

/// Bridges that were trained before, with gradients.
pub(super) fn continued(
    parts: &FrozenParts,
    trained: Bridges,
    device: &Device,
    batches: &Batches,
) -> Result<Bridges, TrainError> {
    let bridges = trained.fork(&device.clone().autodiff()).train();
    Ok(calibrate_trained(parts, bridges, &batches.batch(0)?)?)
}
