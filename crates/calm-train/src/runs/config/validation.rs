//! Settings of validation, and what is held out for it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::check;
use crate::TrainError;
#[cfg(feature = "cli")]
use crate::runs::flags::named;

/// Validation of a run on held-out data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Validation")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ValidationConfig {
    /// Share of the training data that is held out; 0: none [default: 0.05]
    ///
    /// By its loss the best checkpoint becomes the result. The default holds out at least 8 and at
    /// most 64 different examples, and nothing of fewer than 80.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "SHARE", allow_negative_numbers = true)
    )]
    pub validation_share: Option<f64>,
    /// Held-out examples, in the form of --train, instead of a share of these
    ///
    /// By their loss the best checkpoint becomes the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub validation: Option<PathBuf>,
    /// Steps between validations, which make checkpoints [default: --checkpoint-steps]
    ///
    /// Without --validation, at most a fifth of the steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub validation_steps: Option<usize>,
    /// Stop after so many validations without a better one [default: never]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub patience: Option<usize>,
    /// Choose the best checkpoint by a score instead of the loss: `exact`
    ///
    /// The share of greedily decoded answers that equal the target token for token. The loss decides
    /// among equals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<ValidationMetric>))]
    pub validation_metric: Option<ValidationMetric>,
    /// Examples of the score, the first that are held out [default: 100]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub validation_examples: Option<usize>,
}

/// A score by which the best checkpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationMetric {
    /// Share of greedily decoded answers that equal the target token for token.
    Exact,
}

/// Without a share that was asked for, one in so many different examples is held out, …
const HELD_OUT_IN: usize = 20;
/// … but of so few, which are needed more for training, none, …
const FEWEST: usize = 80;
/// … and not fewer or more than so many.
const HELD_OUT: [usize; 2] = [8, 64];

impl ValidationConfig {
    /// Number of examples to hold out of so many different ones.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] if none would be left, or a setting needs some and there are too few.
    pub(in crate::runs) fn held_out_of(&self, examples: usize) -> Result<usize, TrainError> {
        let [least, most] = HELD_OUT;
        let held_out = match self.validation_share {
            Some(0.0) => 0,
            Some(share) => ((share * examples as f64).round() as usize).max(1),
            None if examples < FEWEST => 0,
            None => (examples / HELD_OUT_IN).clamp(least, most),
        };
        if held_out > 0 && held_out >= examples {
            let reason = format!("leaves nothing of {examples} different examples to train on");
            return Err(TrainError::setting("validation-share", reason));
        }
        match self.of_held_out() {
            Some(setting) if held_out == 0 => {
                let reason = format!(
                    "needs held-out examples, and {examples} different ones are too few to hold any \
                     out; give --validation, or a --validation-share"
                );
                Err(TrainError::setting(setting, reason))
            }
            _ => Ok(held_out),
        }
    }

    /// A setting that means nothing without held-out examples.
    fn of_held_out(&self) -> Option<&'static str> {
        let given = [
            ("validation-steps", self.validation_steps.is_some()),
            ("patience", self.patience.is_some()),
            ("validation-metric", self.validation_metric.is_some()),
        ];
        let given = given.into_iter().find(|(_, is_given)| *is_given);
        given.map(|(setting, _)| setting)
    }

    pub(in crate::runs) fn check(&self) -> Result<(), TrainError> {
        let holds_out = self.validation.is_some() || self.validation_share != Some(0.0);
        check([
            (
                self.of_held_out().unwrap_or_default(),
                holds_out || self.of_held_out().is_none(),
                "needs --validation or a --validation-share",
            ),
            (
                "validation-share",
                self.validation_share
                    .is_none_or(|share| (0.0..1.0).contains(&share)),
                "may be from 0 to less than 1",
            ),
            (
                "validation-examples",
                self.validation_examples.is_none() || self.validation_metric.is_some(),
                "needs --validation-metric",
            ),
            (
                "validation-examples",
                self.validation_examples != Some(0),
                "must be at least 1",
            ),
        ])
    }
}
