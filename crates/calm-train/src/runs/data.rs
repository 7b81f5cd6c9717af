//! Data of a run.

use calm_data::{Batch, RowSet};

use super::split::DataSplit;
use super::validation::ValidationData;
use crate::{AnchorMasking, TrainConfig, TrainError};

/// Examples to train on, those that the run is validated on, and the settings that follow from them.
pub(super) struct TrainingData {
    pub(super) train: DataSplit,
    pub(super) validation: Option<ValidationData>,
    /// The examples to train on as hashes, unless the run is only described.
    pub(super) rows: Option<RowSet>,
    /// The settings of the trainer.
    pub(super) settings: TrainConfig,
    /// Words that the anchor of a composition is not shown, if there are any.
    pub(super) masking: Option<AnchorMasking>,
}

/// The data that a run is measured on.
pub(super) struct MeasuredData {
    pub(super) batches: Vec<Batch>,
    pub(super) examples: usize,
    /// Whether it is held out.
    pub(super) held_out: bool,
}

/// Examples that a run is measured on, at least, where none are held out.
const MEASURED: usize = 64;
/// Batches of packed rows that are taken for them at most.
const MOST_BATCHES: usize = 8;

impl TrainingData {
    /// The batch with this number, counted from 0 over all steps.
    pub(super) fn batch(&self, number: usize) -> Result<Batch, TrainError> {
        match &self.masking {
            None => Ok(self.train.batches.batch(number)?),
            Some(masking) => masking.batch(&self.train.batches, number, &self.settings),
        }
    }

    /// The held-out examples, or else the first that are trained on.
    pub(super) fn measured(&self) -> Result<MeasuredData, TrainError> {
        let held_out = self.validation.as_ref();
        let of = held_out.map_or(&self.train, |validation| &validation.data);
        let (mut batches, mut examples) = (Vec::new(), 0);
        for number in 0..of.batches.per_epoch() {
            if held_out.is_none() && (examples >= MEASURED || number >= MOST_BATCHES) {
                break;
            }
            // A training loss is compared with that of the same text, whatever of it is hidden.
            let batch = match held_out {
                Some(held_out) => held_out.data.batches.batch(number)?,
                None => self.batch(number)?,
            };
            examples += batch.examples.len();
            batches.push(batch);
        }
        Ok(MeasuredData {
            batches,
            examples,
            held_out: held_out.is_some(),
        })
    }

    /// Share of the different examples of the training file that is held out.
    pub(super) fn held_out_share(&self) -> f64 {
        self.train.held_out_share
    }

    /// Number of times that the run sees every example.
    pub(super) fn epochs(&self) -> f64 {
        let batches = self.settings.steps * self.settings.accumulation;
        batches as f64 / self.train.batches.per_epoch() as f64
    }
}
