//! Baselines of a composition (table 5 of the paper): the anchor alone, trained on the same data by
//! the same loop.

use calm_backend::FloatType;
use calm_compose::LoraPlan;
use calm_models::FrozenModel;
use serde::{Serialize, Serializer};

use super::Observer;
use super::config::Baseline;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::record::BaselineOutcome;
use super::training::TrainingRun;
use super::tuning::Tuning;
use crate::{ReferenceModel, TrainError};

/// Training of the anchor, or of adapters on it.
pub(super) struct BaselineRun<'a> {
    pub(super) baseline: Baseline,
    pub(super) anchor: &'a FrozenModel,
    /// Parameters of the bridges that it is compared with.
    pub(super) bridge_parameters: usize,
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
    /// Trains the baseline and saves it as a checkpoint.
    pub(super) fn run(
        &self,
        data: &TrainingData,
        observer: &mut dyn Observer,
    ) -> Result<BaselineOutcome, TrainError> {
        let tuning = self.tuning()?;
        let rank = tuning.lora.map(|plan| plan.rank);
        let subject = BaselineIdentity {
            baseline: self.baseline,
            anchor: AnchorIdentity {
                anchor_sha256: self.anchor.weights_sha256()?.to_owned(),
                rank,
            },
        };
        let identity = self.run.identity(self.baseline.name(), data, subject);
        let training = tuning.run(data, &identity, FloatType::F32, observer)?;
        Ok(BaselineOutcome {
            baseline: self.baseline,
            rank,
            trainable_parameters: tuning.trained_parameters(),
            bridge_parameters: self.bridge_parameters,
            out: self.run.out.clone(),
            training,
        })
    }

    /// Size, memory and time of the run.
    pub(super) fn estimate(&self, data: &TrainingData) -> Result<Estimate, TrainError> {
        self.tuning()?.estimate(data)
    }

    fn tuning(&self) -> Result<Tuning<'_>, TrainError> {
        let (model, run) = (self.anchor, self.run);
        let lora = match self.baseline {
            Baseline::Finetune => None,
            Baseline::Lora => Some(LoraPlan::near(&model.decoder, self.bridge_parameters)?),
        };
        let begins_as = ReferenceModel::AnchorAlone;
        Ok(Tuning {
            run,
            model,
            lora,
            begins_as,
        })
    }
}
