//! What `pretrain` and `compose` share: the flags of a training run, its data and its directory.

use std::env;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use calm_lm::data::{Batches, DataFile, Tokenizing, TooLong};
use calm_lm::models::{SpecialIds, Tokenizer};
use calm_lm::terminal::{self, Display};
use calm_lm::train::{
    Crew, DataTokenizer, Objective, RunDir, StepMetrics, TrainConfig, Trainer, Validator,
};
use clap::Args;
use serde_json::{Value, json};

use super::optimizer::OptimizerArgs;
use super::training_data::{DataArgs, TrainingData};
use super::validation::{ValidationArgs, ValidationData};
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
    /// Examples in a batch
    #[arg(long, value_name = "N", default_value = "32")]
    rows: NonZeroUsize,
    /// Batches whose gradients are added up for a step
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().accumulation)]
    accumulation: usize,
    /// Steps between checkpoints
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().checkpoint_steps)]
    checkpoint_steps: usize,
    /// The last so many checkpoints are kept, besides the best
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().keep_checkpoints)]
    keep_checkpoints: usize,
    /// Skip a step whose loss or gradients are not finite, up to so many in a row, instead of
    /// stopping at the first
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = TrainConfig::default().skip_not_finite,
        default_missing_value = "10"
    )]
    skip_not_finite: usize,
    #[command(flatten)]
    optimizer: OptimizerArgs,
    #[command(flatten)]
    validation: ValidationArgs,
}

impl TrainingArgs {
    /// The settings, checked.
    fn config(&self, seed: u64) -> Result<TrainConfig, Failure> {
        let config = TrainConfig {
            accumulation: self.accumulation,
            skip_not_finite: self.skip_not_finite,
            checkpoint_steps: self.checkpoint_steps,
            keep_checkpoints: self.keep_checkpoints,
            validation_steps: self.validation.validation_steps,
            patience: self.validation.patience,
            seed,
            ..self.optimizer.config(self.steps)
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
        let training = self.of_other_process(out, common)?;
        Ok(Training {
            has_run: true,
            ..training
        })
    }

    /// The same for the run of another process, whose directory is no concern of this one.
    pub(super) fn of_other_process<'a>(
        &'a self,
        out: &'a Path,
        common: &'a Common,
    ) -> Result<Training<'a>, Failure> {
        let config = self.config(common.seed)?;
        Ok(Training {
            args: self,
            out,
            common,
            config,
            has_run: false,
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
    /// Whether the run is that of this process.
    has_run: bool,
    /// Bytes that this process held before there was a model.
    pub(super) memory_before: u64,
}

/// What only some runs have.
pub(super) struct Helpers<'a, P> {
    /// Holds what is trained against other data.
    pub(super) validator: Option<Box<dyn Validator<P> + 'a>>,
    /// Computes the batches of a step.
    pub(super) crew: Option<Crew<'a, P>>,
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
        let data_tokenizer = DataTokenizer(tokenizer);
        let read = |path: &Path, with_run: &str| {
            let file = DataFile {
                path: path.to_owned(),
                tokenizing: Tokenizing {
                    tokenizer: &data_tokenizer,
                    end_of_text,
                    context,
                    too_long: self.args.data.too_long(),
                },
            };
            let with_run = self.out.join(RUN).join(with_run);
            let with_run = (self.has_run && !self.is_dry()).then_some(with_run.as_path());
            let read = self.args.data.read(&file, with_run, self.common.quiet)?;
            // What fills up a row is never seen, so any token will do.
            let (rows, padding) = (self.args.rows.get(), special.pad.unwrap_or(0));
            Ok::<_, Failure>(TrainingData::new(&file, read, |examples| {
                Batches::new(examples, rows, padding, self.config.seed)
            }))
        };
        let mut data = read(&self.args.train, "tokens")?;
        let validation = &self.args.validation;
        if let Some(path) = &validation.validation {
            let held_out = read(path, "held-out-tokens")?;
            let texts = (tokenizer, end_of_text);
            data.validation = Some(Box::new(ValidationData::new(validation, held_out, texts)?));
        }
        Ok(data)
    }

    /// All that the outcome of a run depends on: one that differs in it is another run. `what` is
    /// everything besides data and flags of training.
    pub(super) fn settings(&self, data: &TrainingData, what: &Value) -> Value {
        let too_long = self.args.data.too_long();
        let validation = data.validation.as_ref();
        json!({
            "program": version::program(),
            "what": what,
            "data_sha256": data.provenance["sha256"],
            // A run of before there was a choice is one of this policy.
            "too_long": (too_long != TooLong::Error).then_some(too_long),
            "validation": validation.map(|held_out| held_out.identity()),
            "rows": self.args.rows,
            "train": self.config,
        })
    }

    /// Trains `parameters` to the end, or goes on where an earlier process was with the same
    /// settings, of which [`Self::settings`] tells. With a validator, the result is the best
    /// checkpoint.
    pub(super) fn run<'a, O: Objective>(
        &self,
        name: &'a str,
        objective: &'a O,
        parameters: O::Parameters,
        data: &TrainingData,
        helpers: Helpers<'a, O::Parameters>,
        settings: &Value,
    ) -> Result<Trained<O::Parameters>, Failure> {
        let directory = self.out.join(RUN);
        let workers = helpers.crew.as_ref().map(Crew::names);
        let run = RunDir::open(&directory, settings, &self.environment(workers.as_deref())?)?;
        let mut trainer = Trainer::new(objective, parameters, self.config.clone(), Some(run))?;
        let quiet = self.common.quiet;
        if let Some(crew) = helpers.crew {
            trainer = trainer.shared_among(crew);
        }
        if let Some(validator) = helpers.validator {
            trainer = trainer.validated_by(validator, move |metrics, is_best| {
                if !quiet {
                    terminal::show_validation(name, metrics, is_best);
                }
            });
        }
        if !quiet {
            data.announce();
        }
        let batches = |number| Ok(data.batches().batch(number)?);
        let trainer = terminal::train(name, trainer, &batches, self.display())?;
        let metrics = RunDir::read_metrics(&directory)?;
        let provenance = json!({
            "program": version::program(),
            "data": data.provenance,
            "rows": self.args.rows,
            "settings": self.config,
            "step": trainer.best().map_or(trainer.completed(), |best| best.step),
            "steps_done": trainer.completed(),
            "skipped_steps": trainer.skipped(),
            "validation": settings["validation"],
            "best": trainer.best(),
            "final_loss": metrics.last().map(|last| last.loss),
            "seconds": (seconds(&metrics) * 1e3).round() / 1e3,
        });
        Ok(Trained {
            parameters: trainer.into_parameters(),
            provenance,
        })
    }

    /// What else is worth knowing of a run, and may change when it goes on.
    fn environment(&self, workers: Option<&[&str]>) -> Result<Value, Failure> {
        Ok(json!({
            "workers": workers,
            "device": format!("{:?}", self.common.device()?),
            "threads": calm_lm::backend::threads(),
            "system": format!("{} {}", env::consts::OS, env::consts::ARCH),
        }))
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
            seconds,
            ..StepMetrics::default()
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
