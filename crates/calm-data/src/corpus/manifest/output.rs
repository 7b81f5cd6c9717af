//! The form of what comes out.

use serde::{Deserialize, Serialize};

use crate::DataError;

/// How pairs become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct OutputConfig {
    /// Most worked examples of a prompt. Each number from none to this is as likely.
    pub shots: usize,
    /// Pairs of a document for pre-training.
    pub pairs_per_document: usize,
}

impl Default for OutputConfig {
    /// Five worked examples are what the paper evaluates with.
    fn default() -> Self {
        Self {
            shots: 5,
            pairs_per_document: 6,
        }
    }
}

impl OutputConfig {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] naming the first that is out of its range.
    pub fn validate(&self) -> Result<(), DataError> {
        let wrong = |field, found: usize, expected: &str| {
            Err(DataError::setting(
                "output",
                field,
                found.to_string(),
                expected,
            ))
        };
        if self.shots > 100 {
            return wrong("shots", self.shots, "0 to 100");
        }
        match self.pairs_per_document {
            1..=1000 => Ok(()),
            pairs => wrong("pairs-per-document", pairs, "1 to 1000"),
        }
    }
}
