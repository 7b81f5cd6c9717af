//! Settings that every run has: its data, and how parameters are moved.

use std::path::PathBuf;

use calm_data::TooLong;
use serde::{Deserialize, Serialize};

use super::checks::check;
use super::validation::ValidationConfig;
use crate::runs::examples::ExampleConfig;
#[cfg(feature = "cli")]
use crate::runs::flags::{any_path, named};
use crate::{OptimizerKind, Schedule, TrainConfig, TrainError};

/// Settings that every run has: its data, and how parameters are moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Training")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct TrainingConfig {
    /// Examples to learn: a file or a directory of files, or hf:datasets/owner/name@revision
    ///
    /// JSON Lines, a JSON array, CSV or Parquet with a `prompt` and a `target`, a `question` and an
    /// `answer`, `messages`, or a `text`.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub train: PathBuf,
    /// Go on with the interrupted run in the output directory, if there is one
    #[cfg_attr(feature = "cli", arg(long))]
    pub resume: bool,
    /// Optimiser steps [default: 1000]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub steps: Option<usize>,
    /// Passes over the training data, instead of --steps
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", conflicts_with = "steps"))]
    pub epochs: Option<f64>,
    /// Batch size: examples in a batch [default: 32; of packed rows with --from 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub rows: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().accumulation))]
    pub accumulation: usize,
    /// Steps between checkpoints
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().checkpoint_steps))]
    pub checkpoint_steps: usize,
    /// Last checkpoints that are kept, besides the best
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().keep_checkpoints))]
    pub keep_checkpoints: usize,
    /// Skip steps whose loss or gradients are not finite, up to N in a row
    ///
    /// Instead of stopping at the first. Without a number, 10.
    #[cfg_attr(feature = "cli", arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = TrainConfig::default().skip_not_finite,
        default_missing_value = "10"
    ))]
    pub skip_not_finite: usize,
    /// Treatment of the data.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub data: DataConfig,
    /// Optimiser and schedule.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub optimizer: OptimizerConfig,
    /// Held-out data.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub validation: ValidationConfig,
}

/// Treatment of the data of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Data")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct DataConfig {
    /// Form of the rows.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub examples: ExampleConfig,
    /// Treatment of examples longer than the models can read: `error`, `truncate` or `skip`
    ///
    /// `truncate` cuts the beginning of the prompt, or the end of a plain text.
    #[cfg_attr(feature = "cli", arg(long, value_name = "POLICY", value_parser = named::<TooLong>, default_value = "error"))]
    pub too_long: TooLong,
    /// Keep the tokenised data in this directory, for further runs on the same data
    ///
    /// By default it is kept with the run if the file is larger than 16 MiB, else nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub data_cache: Option<PathBuf>,
}

/// Optimiser and learning rate schedule of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Optimiser and schedule")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct OptimizerConfig {
    /// Optimiser: `adamw`, or `muon` for weight matrices with AdamW for the rest
    ///
    /// `muon` often takes fewer steps where little data is learnt exactly.
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<OptimizerKind>, default_value = "adamw"))]
    pub optimizer: OptimizerKind,
    /// Highest learning rate [default: 1e-3; with --from 5e-5, of adapters 2e-4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "RATE", allow_negative_numbers = true)
    )]
    pub learning_rate: Option<f64>,
    /// Steps over which the learning rate rises [default: 50, at most a quarter of all]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub warmup_steps: Option<usize>,
    /// Fall of the learning rate at the end: `linear`, `cosine`, or `constant` (none)
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<Schedule>, default_value = "linear"))]
    pub schedule: Schedule,
    /// Share of the steps, at the end, over which the learning rate falls to zero
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = TrainConfig::default().decay_share))]
    pub decay_share: f64,
    /// Decoupled weight decay
    #[cfg_attr(feature = "cli", arg(long, value_name = "DECAY", allow_negative_numbers = true, default_value_t = TrainConfig::default().weight_decay))]
    pub weight_decay: f64,
    /// β₁ of AdamW: decay of the mean of the gradients
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[0]))]
    pub beta1: f64,
    /// β₂ of AdamW: decay of the mean of their squares
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[1]))]
    pub beta2: f64,
    /// Largest norm of all gradients together; larger ones are scaled down
    #[cfg_attr(feature = "cli", arg(long, value_name = "NORM", allow_negative_numbers = true, default_value_t = TrainConfig::default().clip_norm))]
    pub clip_norm: f64,
}

impl Default for TrainingConfig {
    fn default() -> Self {
        let train = TrainConfig::default();
        Self {
            train: PathBuf::new(),
            data: DataConfig::default(),
            resume: false,
            steps: None,
            epochs: None,
            rows: None,
            accumulation: train.accumulation,
            checkpoint_steps: train.checkpoint_steps,
            keep_checkpoints: train.keep_checkpoints,
            skip_not_finite: train.skip_not_finite,
            optimizer: OptimizerConfig::default(),
            validation: ValidationConfig::default(),
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        let train = TrainConfig::default();
        Self {
            optimizer: train.optimizer,
            learning_rate: None,
            warmup_steps: None,
            schedule: train.schedule,
            decay_share: train.decay_share,
            weight_decay: train.weight_decay,
            beta1: train.betas[0],
            beta2: train.betas[1],
            clip_norm: train.clip_norm,
        }
    }
}

impl TrainingConfig {
    /// Rows of a batch.
    pub(in crate::runs) fn rows(&self) -> usize {
        self.rows.unwrap_or(32)
    }

    /// Sets what was left open to what it resolves to.
    pub(in crate::runs) fn resolve_open(&mut self, settings: &TrainConfig, held_out_share: f64) {
        self.rows = Some(self.rows());
        self.steps = Some(settings.steps);
        self.epochs = None;
        let validation = &mut self.validation;
        validation.validation_steps = settings.validation_steps;
        if validation.validation.is_none() {
            validation.validation_share = Some(held_out_share);
        }
        let optimizer = &mut self.optimizer;
        optimizer.learning_rate = Some(settings.learning_rate);
        optimizer.warmup_steps = Some(settings.warmup_steps);
    }

    pub(super) fn has_data(&self) -> bool {
        !self.train.as_os_str().is_empty()
    }

    /// The settings of the trainer, checked as far as the data does not matter.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] or [`TrainError::Config`] with the setting that is wrong.
    pub(in crate::runs) fn check(&self, seed: u64) -> Result<(), TrainError> {
        check([
            ("rows", self.rows() >= 1, "must be at least 1"),
            (
                "epochs",
                self.steps.is_none() || self.epochs.is_none(),
                "cannot be used with --steps",
            ),
            (
                "epochs",
                self.epochs
                    .is_none_or(|epochs| epochs > 0.0 && epochs <= MOST_EPOCHS),
                "must be above 0, and at most 1000000",
            ),
        ])?;
        self.validation.check()?;
        let steps = match self.epochs {
            // How many they are is known once the data is read.
            Some(_) => 1 << 40,
            None => self.steps.unwrap_or(TrainConfig::default().steps),
        };
        self.in_steps(steps, seed).validate()
    }

    /// The settings of the trainer, for this data.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] with the setting that is wrong.
    pub(in crate::runs) fn resolve(
        &self,
        seed: u64,
        batches_per_epoch: usize,
        has_split: bool,
    ) -> Result<TrainConfig, TrainError> {
        let of_epochs = |epochs: f64| {
            let batches = epochs * batches_per_epoch as f64;
            ((batches / self.accumulation as f64).ceil() as usize).max(1)
        };
        let steps = self.epochs.map(of_epochs).or(self.steps);
        let steps = steps.unwrap_or(TrainConfig::default().steps);
        let mut config = self.in_steps(steps, seed);
        if has_split && config.validation_steps.is_none() {
            let often = steps.div_ceil(LEAST_VALIDATIONS);
            config.validation_steps = Some(often.min(self.checkpoint_steps));
        }
        config.validate()?;
        Ok(config)
    }

    fn in_steps(&self, steps: usize, seed: u64) -> TrainConfig {
        let default = TrainConfig::default().with_steps(steps);
        let (optimizer, validation) = (&self.optimizer, &self.validation);
        TrainConfig {
            optimizer: optimizer.optimizer,
            accumulation: self.accumulation,
            learning_rate: optimizer.learning_rate.unwrap_or(default.learning_rate),
            warmup_steps: optimizer.warmup_steps.unwrap_or(default.warmup_steps),
            schedule: optimizer.schedule,
            decay_share: optimizer.decay_share,
            weight_decay: optimizer.weight_decay,
            betas: [optimizer.beta1, optimizer.beta2],
            clip_norm: optimizer.clip_norm,
            skip_not_finite: self.skip_not_finite,
            checkpoint_steps: self.checkpoint_steps,
            keep_checkpoints: self.keep_checkpoints,
            validation_steps: validation.validation_steps,
            patience: validation.patience,
            seed,
            ..default
        }
    }
}

/// Far more than any run has.
const MOST_EPOCHS: f64 = 1e6;
/// A run that holds out a part of its data is validated at least so often.
const LEAST_VALIDATIONS: usize = 5;
