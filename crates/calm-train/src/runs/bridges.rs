//! Training of bridges between models that are loaded already.

use burn::module::Module;
use burn::tensor::Device;
use calm_compose::{Bridges, Composition, FrozenParts};
use calm_data::Batches;

use super::Observer;
use super::training::{FitOptions, fit};
use crate::{
    BridgeTraining, Keep, RunDir, RunProgress, TrainConfig, TrainError, calibrate,
    calibrate_trained,
};

/// Settings of [`train_bridges`].
#[derive(Debug, Clone, Default)]
pub struct BridgeTrainingConfig {
    /// Optimiser, schedule and number of steps.
    pub train: TrainConfig,
    /// Noise on the hidden states of the augmenting models, as in [`BridgeTraining::with_noise`].
    pub noise: f64,
    /// Whether to trade time for memory, as in [`BridgeTraining::with_checkpointing`].
    pub gradient_checkpointing: bool,
}

/// Trains all bridges of a composition (section 3.1 of the paper) on batches of its anchor's
/// tokens, and puts the trained ones back. They are first fitted to the hidden states of batch 0.
/// `name` is what the observer is told that the run is called.
///
/// With a directory, the run goes on from the newest checkpoint in it; the composition must then be
/// the one that it began with. The composition so far is saved there at every checkpoint, so that
/// it can be opened before the run is over. [`ComposeRun`](super::ComposeRun) trains from files, and also knows
/// validation, further devices and a cache of activations.
///
/// # Errors
///
/// As of [`fit`], and [`TrainError::Model`] if an augmenting model cannot read the first batch.
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
    let objective = BridgeTraining::new(&model.parts)
        .with_noise(config.noise)
        .with_checkpointing(config.gradient_checkpointing);
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
    let batches = |number| Ok(batches.batch(number)?);
    let train = config.train.clone();
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
