//! Baselines of a composition (table 5 of the paper): the anchor alone, trained on the same data by
//! the same loop.

use burn::module::Module;
use burn::tensor::Device;
use calm_backend::FloatType;
use calm_compose::LoraPlan;
use calm_models::{Decoder, FrozenModel};
use serde::{Serialize, Serializer};

use super::Observer;
use super::config::Baseline;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::footprint::Footprint;
use super::record::BaselineOutcome;
use super::training::{FitOptions, TrainingRun};
use crate::{LanguageModelling, TrainError};

/// Training of the anchor, or of adapters on it.
pub(super) struct BaselineRun<'a> {
    pub(super) baseline: Baseline,
    pub(super) anchor: &'a FrozenModel,
    /// Parameters of the bridges that it is compared with.
    pub(super) bridge_parameters: usize,
    pub(super) device: Device,
    pub(super) run: &'a TrainingRun,
}

/// The anchor, and the adapters on it.
struct BaselineIdentity {
    baseline: Baseline,
    anchor: AnchorIdentity,
}

#[derive(Serialize)]
struct AnchorIdentity {
    anchor_sha256: String,
    rank: Option<usize>,
}

/// `{"lora": {…}}`: the kind is the key.
impl Serialize for BaselineIdentity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.baseline.name(), &self.anchor)])
    }
}

impl Baseline {
    /// Its name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Finetune => "finetune",
        }
    }
}

impl BaselineRun<'_> {
    /// Trains the baseline and saves it as a checkpoint, the adapters merged into the weights.
    pub(super) fn run(
        &self,
        data: &TrainingData,
        observer: &mut dyn Observer,
    ) -> Result<BaselineOutcome, TrainError> {
        let lora = self.lora()?;
        let rank = lora.map(|plan| plan.rank);
        let objective = LanguageModelling::default();
        let merged = |decoder: &Decoder| decoder.clone().materialize();
        let held_out = data.validation.as_ref();
        let validator = held_out.map(|data| data.validator(&objective, merged));
        let options = FitOptions {
            validator: validator.transpose()?,
            ..FitOptions::default()
        };
        let subject = BaselineIdentity {
            baseline: self.baseline,
            anchor: AnchorIdentity {
                anchor_sha256: self.anchor.weights_sha256()?.to_owned(),
                rank,
            },
        };
        let (run, identity) = (
            self.run,
            self.run.identity(self.baseline.name(), data, subject),
        );
        let parameters = self.parameters(lora);
        let (trained, training) =
            run.run(&objective, parameters, data, options, &identity, observer)?;
        let model = self.anchor.with_decoder(trained.valid().materialize());
        model.save(&run.out, FloatType::F32)?;
        Ok(BaselineOutcome {
            baseline: self.baseline,
            rank,
            trainable_parameters: self.trainable(lora),
            bridge_parameters: self.bridge_parameters,
            out: run.out.clone(),
            training,
        })
    }

    /// Size, memory and time of the run.
    pub(super) fn estimate(&self, data: &TrainingData) -> Result<Estimate, TrainError> {
        let lora = self.lora()?;
        let footprint = Footprint::of_decoder(&self.anchor.decoder, self.trainable(lora));
        let objective = LanguageModelling::default();
        Estimate::new(
            self.run,
            &objective,
            self.parameters(lora),
            data,
            &footprint,
        )
    }

    fn lora(&self) -> Result<Option<LoraPlan>, TrainError> {
        Ok(match self.baseline {
            Baseline::Finetune => None,
            Baseline::Lora => Some(LoraPlan::near(
                &self.anchor.decoder,
                self.bridge_parameters,
            )?),
        })
    }

    fn parameters(&self, lora: Option<LoraPlan>) -> Decoder {
        let (device, decoder) = (self.device.clone().autodiff(), &self.anchor.decoder);
        match lora {
            Some(plan) => plan.apply(decoder, self.run.context.seed, &device),
            None => decoder.clone().fork(&device).train(),
        }
    }

    fn trainable(&self, lora: Option<LoraPlan>) -> usize {
        lora.map_or_else(|| self.anchor.decoder.num_params(), |plan| plan.parameters)
    }
}
