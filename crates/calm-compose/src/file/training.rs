//! The record of a training.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Record of the training of bridges: any JSON.
///
/// Using the bridges needs nothing of it. Its type belongs to the trainer, which writes it with
/// [`TrainingRecord::new`] and reads it with [`TrainingRecord::read`]. Records of other programs are
/// kept whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrainingRecord(Value);

impl TrainingRecord {
    /// The record as JSON.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if JSON cannot hold it, such as a map whose keys are no text.
    pub fn new(record: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(record).map(Self)
    }

    /// The record in the trainer's own type.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`] if it is of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}

/// JSON over several lines.
impl fmt::Display for TrainingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}
