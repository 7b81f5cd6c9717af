//! Training of a decoder on texts: of one with random weights, of one that was loaded, or of
//! adapters on it. Pre-training, specialising and the baselines of a composition are this.

use burn::module::Module;
use calm_backend::FloatType;
use calm_compose::LoraPlan;
use calm_models::{Decoder, FrozenModel};
use serde::Serialize;

use super::Observer;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::flops::{TrainingFlops, mean_seen};
use super::footprint::Footprint;
use super::record::{RunIdentity, RunRecord, TuningRecord};
use super::reference::of_decoder;
use super::training::{FitOptions, TrainingRun};
use crate::{LanguageModelling, ReferenceModel, TrainError};

/// Training of a model in `f32`, or of adapters on it.
pub(super) struct Tuning<'a> {
    pub(super) run: &'a TrainingRun,
    /// The model as it begins.
    pub(super) model: &'a FrozenModel,
    /// Adapters; none if all weights are trained.
    pub(super) lora: Option<LoraPlan>,
    /// Name of the model as it begins.
    pub(super) begins_as: ReferenceModel,
}

impl Tuning<'_> {
    /// Trains, and saves a checkpoint with its weights stored as `dtype`, adapters merged into them,
    /// and the record of its training beside it.
    pub(super) fn run(
        &self,
        data: &TrainingData,
        identity: &RunIdentity<impl Serialize>,
        dtype: FloatType,
        observer: &mut dyn Observer,
    ) -> Result<RunRecord, TrainError> {
        self.model.check_saved(&self.run.out, dtype)?;
        let objective = LanguageModelling::default();
        let merged = |decoder: &Decoder| decoder.clone().materialize();
        let held_out = data.validation.as_ref();
        let validator = held_out.map(|data| data.validator(&objective, merged, None));
        let decoder = &self.model.decoder;
        let options = FitOptions {
            validator: validator.transpose()?,
            references: vec![of_decoder(self.begins_as, decoder, data.measured()?)],
            ..FitOptions::default()
        };
        let (run, parameters) = (self.run, self.parameters());
        let begun = (&objective, parameters);
        // A whole model may be large: it is written once, at the end.
        let (trained, record) = run.run(begun, data, options, identity, None, observer)?;
        let rank = self.lora.map(|plan| plan.rank);
        let flops = TrainingFlops::of_decoder(decoder.config(), rank, mean_seen(data));
        let flops = flops.of_run(&record, 1.0);
        let model = self.model.with_decoder(trained.valid().materialize());
        model.save(&run.out, dtype)?;
        let record = TuningRecord {
            run: RunRecord { flops, ..record },
            device: calm_backend::device_name(&run.context.device),
            trained_parameters: self.trained_parameters(),
            rank,
        };
        record.write(&run.out)?;
        Ok(record.run)
    }

    /// Size, memory and time of the run.
    pub(super) fn estimate(&self, data: &TrainingData) -> Result<Estimate, TrainError> {
        let footprint = Footprint::of_decoder(&self.model.decoder, self.trained_parameters());
        let objective = LanguageModelling::default();
        Estimate::new(self.run, &objective, self.parameters(), data, &footprint)
    }

    /// Number of parameters that are trained.
    pub(super) fn trained_parameters(&self) -> usize {
        let all = || self.model.decoder.num_params();
        self.lora.map_or_else(all, |plan| plan.parameters)
    }

    fn parameters(&self) -> Decoder {
        let decoder = &self.model.decoder;
        let device = decoder.device().autodiff();
        match self.lora {
            Some(plan) => plan.apply(decoder, self.run.context.seed, &device),
            None => decoder.clone().fork(&device).train(),
        }
    }
}
