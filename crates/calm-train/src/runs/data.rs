//! Data of a run.

use calm_data::RowSet;

use super::split::DataSplit;
use super::validation::ValidationData;

/// Examples to train on, and those that the run is validated on.
pub(super) struct TrainingData {
    pub(super) train: DataSplit,
    pub(super) validation: Option<ValidationData>,
    /// The examples to train on as hashes, unless the run is only described.
    pub(super) rows: Option<RowSet>,
}
