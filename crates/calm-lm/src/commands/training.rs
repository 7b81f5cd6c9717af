//! What `pretrain` and `compose` share: the flags of a training run, its data and its directory.

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use burn::module::Module;
use calm_lm::data::{Batches, DataFile, Tokenizing, TooLong};
use calm_lm::models::{SpecialIds, Tokenizer};
use calm_lm::terminal::{self, Display};
use calm_lm::train::{Objective, OptimizerKind, RunDir, StepMetrics, TrainConfig, Trainer};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::training_data::{DataArgs, TrainingData};
use super::version;
use crate::cli::Common;
use crate::failure::Failure;
use crate::settings::ConfigArgs;

/// Where in the directory of what is trained its run is kept.
const RUN: &str = "run";

#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub(super) struct TrainingArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Examples, one JSON object per line: with a `prompt` and a `target`, which is to be learnt, or
    /// with a `text`, of which all is to be learnt
    #[arg(long, value_name = "FILE")]
    train: PathBuf,
    #[command(flatten)]
    data: DataArgs,
    /// Go on with the run in the output directory, if there is one
    #[arg(long)]
    resume: bool,
    /// Print what the run will be (all flags as a file for --config, sizes, memory, time), do a few
    /// steps to measure it, write nothing, and stop
    #[arg(long)]
    dry_run: bool,
    /// Show curves that fill the terminal
    #[arg(long)]
    tui: bool,
    /// Optimiser steps
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().steps)]
    steps: usize,
    /// What makes a step out of gradients
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Optimizer::Adamw)]
    optimizer: Optimizer,
    /// Examples in a batch
    #[arg(long, value_name = "N", default_value = "32")]
    rows: NonZeroUsize,
    /// Batches whose gradients are added up for a step
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().accumulation)]
    accumulation: usize,
    /// Highest learning rate
    #[arg(
        long,
        value_name = "RATE",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().learning_rate
    )]
    learning_rate: f64,
    /// Steps over which the learning rate rises to it [default: 50, at most a quarter of all]
    #[arg(long, value_name = "N")]
    warmup_steps: Option<usize>,
    /// Share of the steps, at the end, over which it falls to zero
    #[arg(
        long,
        value_name = "SHARE",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().decay_share
    )]
    decay_share: f64,
    /// Decoupled weight decay
    #[arg(
        long,
        value_name = "DECAY",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().weight_decay
    )]
    weight_decay: f64,
    /// Largest norm of all gradients together
    #[arg(
        long,
        value_name = "NORM",
        allow_negative_numbers = true,
        default_value_t = TrainConfig::default().clip_norm
    )]
    clip_norm: f64,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().checkpoint_steps)]
    checkpoint_steps: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Optimizer {
    /// AdamW for every parameter
    Adamw,
    /// Muon for weight matrices, AdamW for the rest: often fewer steps where little data is
    /// learnt exactly
    Muon,
}

impl From<Optimizer> for OptimizerKind {
    fn from(optimizer: Optimizer) -> Self {
        match optimizer {
            Optimizer::Adamw => Self::AdamW,
            Optimizer::Muon => Self::Muon,
        }
    }
}

impl TrainingArgs {
    /// The settings, checked.
    fn config(&self, seed: u64) -> Result<TrainConfig, Failure> {
        let default = TrainConfig::default().with_steps(self.steps);
        let config = TrainConfig {
            optimizer: self.optimizer.into(),
            accumulation: self.accumulation,
            learning_rate: self.learning_rate,
            warmup_steps: self.warmup_steps.unwrap_or(default.warmup_steps),
            decay_share: self.decay_share,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            checkpoint_steps: self.checkpoint_steps,
            seed,
            ..default
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks, before anything is loaded, what needs no model. Nothing is written yet.
    pub(super) fn check<'a>(
        &'a self,
        out: &'a Path,
        common: &'a Common,
    ) -> Result<Training<'a>, Failure> {
        check_directory(out, self.resume)?;
        let config = self.config(common.seed)?;
        Ok(Training {
            args: self,
            out,
            common,
            config,
            memory_before: calm_lm::backend::peak_memory().unwrap_or(0),
        })
    }
}

/// A directory that holds something is only written to if it is the run's own.
fn check_directory(out: &Path, resume: bool) -> Result<(), Failure> {
    let refuse = |reason: &str| Err(Failure::path(out, reason));
    if out.join(RUN).exists() {
        return if resume {
            Ok(())
        } else {
            refuse(
                "holds a run already; add --resume to go on with it, or choose another directory",
            )
        };
    }
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => refuse("is not empty, and holds no run; choose another directory"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => refuse(&error.to_string()),
    }
}

/// A training run whose settings are sound.
pub(super) struct Training<'a> {
    args: &'a TrainingArgs,
    out: &'a Path,
    pub(super) common: &'a Common,
    config: TrainConfig,
    /// Bytes that this process held before there was a model.
    pub(super) memory_before: u64,
}

/// What a run came to.
pub(super) struct Trained<P> {
    pub(super) parameters: P,
    /// All that is to be remembered of the training, `final_loss` and `seconds` among it.
    pub(super) provenance: Value,
}

impl Training<'_> {
    /// The settings, checked.
    pub(super) fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// How often the run sees every example.
    pub(super) fn epochs(&self, data: &TrainingData) -> f64 {
        (self.config.steps * self.config.accumulation) as f64 / data.batches().per_epoch() as f64
    }

    /// Whether the run is to be described, and not done.
    pub(super) fn is_dry(&self) -> bool {
        self.args.dry_run
    }

    fn display(&self) -> Display {
        match (self.common.quiet, self.args.tui) {
            (true, _) => Display::Nothing,
            (false, true) => Display::Dashboard,
            (false, false) => Display::Progress,
        }
    }

    /// Reads and tokenises the examples for models that can read `context` tokens.
    pub(super) fn read_data(
        &self,
        tokenizer: &Tokenizer,
        special: &SpecialIds,
        end_of_text: u32,
        context: usize,
    ) -> Result<TrainingData, Failure> {
        let file = DataFile {
            path: self.args.train.clone(),
            tokenizing: Tokenizing {
                tokenizer: tokenizer.inner(),
                end_of_text,
                context,
                too_long: self.args.data.too_long(),
            },
            tokenizer_json: tokenizer.json(),
        };
        let with_run = self.out.join(RUN).join("tokens");
        let with_run = (!self.is_dry()).then_some(with_run.as_path());
        let read = self.args.data.read(&file, with_run, self.common.quiet)?;
        // What fills up a row is never seen, so any token will do.
        let (rows, padding) = (self.args.rows.get(), special.pad.unwrap_or(0));
        let data = TrainingData::new(&file, read, |examples| {
            Batches::new(examples, rows, padding, self.config.seed)
        });
        Ok(data)
    }

    /// Trains `parameters` to the end, or goes on where an earlier process was.
    ///
    /// `what` is everything besides data and settings that the outcome depends on: a run that
    /// differs in it is another run.
    pub(super) fn run<O: Objective>(
        &self,
        name: &str,
        objective: &O,
        parameters: O::Parameters,
        data: &TrainingData,
        what: &Value,
    ) -> Result<Trained<O::Parameters>, Failure>
    where
        O::Parameters: Module,
    {
        let directory = self.out.join(RUN);
        let too_long = self.args.data.too_long();
        let settings = json!({
            "program": version::program(),
            "what": what,
            "data_sha256": data.provenance["sha256"],
            // A run of before there was a choice is one of this policy.
            "too_long": (too_long != TooLong::Error).then_some(too_long),
            "rows": self.args.rows,
            "train": self.config,
        });
        let run = RunDir::open(&directory, &settings)?;
        let trainer = Trainer::new(objective, parameters, self.config.clone(), Some(run))?;
        if !self.common.quiet {
            data.announce();
        }
        let batches = |number| Ok(data.batches().batch(number)?);
        let parameters = terminal::train(name, trainer, &batches, self.display())?;
        let metrics = RunDir::read_metrics(&directory)?;
        let provenance = json!({
            "program": version::program(),
            "data": data.provenance,
            "rows": self.args.rows,
            "settings": self.config,
            "final_loss": metrics.last().map(|last| last.loss),
            "seconds": (seconds(&metrics) * 1e3).round() / 1e3,
        });
        Ok(Trained {
            parameters,
            provenance,
        })
    }
}

/// Time that all processes of a run spent on the steps that counted. Each begins at zero.
pub(super) fn seconds(metrics: &[StepMetrics]) -> f64 {
    let lasts = metrics
        .windows(2)
        .filter(|pair| pair[1].seconds < pair[0].seconds)
        .map(|pair| pair[0].seconds);
    lasts.sum::<f64>() + metrics.last().map_or(0.0, |last| last.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_resumed_run_is_that_of_all_its_processes() {
        let at = |seconds| StepMetrics {
            step: 1,
            loss: 1.0,
            gradient_norm: 1.0,
            learning_rate: 0.1,
            target_tokens: 1,
            seconds,
        };
        assert_eq!(seconds(&[at(1.0), at(4.0), at(0.5), at(1.5)]), 5.5);
        assert_eq!(seconds(&[]), 0.0);
    }

    #[test]
    fn only_a_directory_of_its_own_is_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let check = |resume| check_directory(dir.path(), resume).map_err(|e| e.to_string());
        assert_eq!(check(false), Ok(()), "an empty one");
        fs::write(dir.path().join("diary.txt"), "").unwrap();
        for resume in [false, true] {
            assert!(check(resume).unwrap_err().contains("is not empty"));
        }
        fs::create_dir(dir.path().join(RUN)).unwrap();
        assert!(check(false).unwrap_err().contains("add --resume"));
        assert_eq!(check(true), Ok(()));
    }
}
