//! Data of a run.

use super::split::DataSplit;
use super::validation::ValidationData;

/// Examples to train on, and those that the run is validated on.
pub(super) struct TrainingData {
    pub(super) train: DataSplit,
    pub(super) validation: Option<ValidationData>,
}
