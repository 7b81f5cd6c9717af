//! One run from its first step to its last.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::Path;

use calm_data::{Batches, DataFile, ExampleForm, ExampleReader, RowSet, TooLong};
use calm_models::Fetching;
use serde::Serialize;

use super::config::TrainingConfig;
use super::data::TrainingData;
use super::examples::ExampleConfig;
use super::located::locate_examples;
use super::plan::TextPlan;
use super::record::{Environment, RunIdentity, RunRecord};
use super::split::{DataSplit, read_file};
use super::validation::ValidationData;
use super::{Observer, RunContext, RunEvent};
use crate::{
    BatchSource, DataTokenizer, Objective, Outcome, Ranks, RunDir, StepMetrics, TrainConfig,
    TrainError, Trainer, Validator,
};

/// Name of a run's directory in the directory of its result.
const RUN: &str = "run";

/// Parts that only some runs have.
pub struct FitOptions<'a, P> {
    /// Directory that the run can be resumed from.
    pub directory: Option<RunDir>,
    /// Validation against other data.
    pub validator: Option<Box<dyn Validator<P> + 'a>>,
    /// Devices and processes that compute the batches of a step.
    pub ranks: Option<Ranks<'a, P>>,
}

impl<P> Default for FitOptions<'_, P> {
    fn default() -> Self {
        Self {
            directory: None,
            validator: None,
            ranks: None,
        }
    }
}

/// Trains `parameters` to the last step, or goes on from the newest checkpoint of the directory,
/// and returns the trainer that holds the result.
///
/// # Errors
///
/// [`TrainError::Interrupted`] if the observer breaks off, and those of [`Trainer::run`].
pub fn fit<'a, O: Objective>(
    name: &'a str,
    objective: &'a O,
    parameters: O::Parameters,
    config: TrainConfig,
    options: FitOptions<'a, O::Parameters>,
    batches: &impl BatchSource,
    observer: &mut dyn Observer,
) -> Result<Trainer<'a, O>, TrainError> {
    let mut trainer = Trainer::new(objective, parameters, config, options.directory)?;
    if let Some(ranks) = options.ranks {
        trainer = trainer.shared_among(ranks);
    }
    if let Some(validator) = options.validator {
        trainer = trainer.validated_by(validator);
    }
    let steps = trainer.config().steps;
    let completed = trainer.completed();
    let _ = observer.observe(RunEvent::Started {
        name,
        steps,
        completed,
    });
    let observer = RefCell::new(observer);
    let outcome = trainer.run_observed(
        batches,
        |metrics| observer.borrow_mut().observe(RunEvent::Step(metrics)),
        |metrics, is_best| {
            let event = RunEvent::Validated {
                name,
                metrics,
                is_best,
            };
            let _ = observer.borrow_mut().observe(event);
        },
    )?;
    match outcome {
        Outcome::Finished | Outcome::StoppedEarly => Ok(trainer),
        Outcome::Interrupted => Err(TrainError::Interrupted {
            step: trainer.completed(),
            steps,
        }),
    }
}

/// A run whose settings are sound.
#[derive(Debug)]
pub(super) struct TrainingRun {
    pub(super) config: TrainingConfig,
    /// The settings of the trainer.
    pub(super) train: TrainConfig,
    pub(super) context: RunContext,
    /// Directory of the result.
    pub(super) out: std::path::PathBuf,
    /// Whether this process writes the run, rather than to work for another one's.
    writes: bool,
    /// Bytes that this process held before there was a model.
    pub(super) memory_before: u64,
}

impl TrainingRun {
    /// Checks, before anything is loaded, what needs no model. Nothing is written yet.
    pub(super) fn new(
        config: &TrainingConfig,
        context: RunContext,
        out: &Path,
        writes: bool,
    ) -> Result<Self, TrainError> {
        if writes {
            check_directory(out, config.resume)?;
        }
        Ok(Self {
            train: config.resolve(context.seed)?,
            config: config.clone(),
            context,
            out: out.to_owned(),
            writes,
            memory_before: calm_backend::peak_memory().unwrap_or(0),
        })
    }

    /// Number of times that the run sees every example.
    pub(super) fn epochs(&self, data: &TrainingData) -> f64 {
        (self.train.steps * self.train.accumulation) as f64 / data.train.batches.per_epoch() as f64
    }

    /// Reads and tokenises the examples. A run that is only described leaves no file behind.
    pub(super) fn read_data(
        &self,
        plan: &TextPlan<'_>,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<TrainingData, TrainError> {
        let data_tokenizer = DataTokenizer(plan.tokenizer);
        let form = self.config.data.examples.form();
        let mut read = |name: &Path, with_run: &str| {
            let mut fetched = |fetching: Fetching<'_>| {
                let _ = observer.observe(RunEvent::Fetching(fetching));
            };
            let located = locate_examples(name, &mut fetched)?;
            let file = DataFile {
                path: located.path.clone(),
                form: form.clone(),
                tokenizing: plan.tokenizing(&data_tokenizer, self.config.data.too_long),
            };
            let with_run = self.out.join(RUN).join(with_run);
            let with_run = (self.writes && !is_described).then_some(with_run.as_path());
            let read = read_file(&self.config.data, &file, with_run, observer)?;
            // Padding is never seen, so any token will do.
            let (rows, padding) = (self.config.rows(), plan.special.pad.unwrap_or(0));
            let seed = self.train.seed;
            let mut split = DataSplit::new(&file, read, |examples| match plan.is_packed {
                false => Batches::new(examples, rows, padding, seed),
                true => Batches::packed(examples, rows, plan.context, padding, seed),
            });
            split.record.path = located.name;
            Ok::<_, TrainError>((split, located.path))
        };
        let (train, train_path) = read(&self.config.train, "tokens")?;
        let validation = &self.config.validation;
        let held_out = validation.validation.as_ref().map(|name| {
            let (held_out, path) = read(name, "held-out-tokens")?;
            let data = ValidationData::new(validation, &path, held_out, plan, &form)?;
            Ok::<_, TrainError>((data, path))
        });
        let held_out = held_out.transpose()?;
        let is_needed = (self.writes && !is_described) || held_out.is_some();
        let rows = is_needed
            .then(|| RowSet::of(&train_path, &form))
            .transpose()?;
        if let (Some(rows), Some((_, path))) = (&rows, &held_out) {
            warn_of_shared(rows, &train_path, path, &form)?;
        }
        Ok(TrainingData {
            train,
            validation: held_out.map(|(data, _)| data),
            rows,
        })
    }

    /// The identity of the run that trains `subject`.
    pub(super) fn identity<S: Serialize>(
        &self,
        name: &'static str,
        data: &TrainingData,
        subject: S,
    ) -> RunIdentity<S> {
        let too_long = self.config.data.too_long;
        let examples = &self.config.data.examples;
        RunIdentity {
            examples: (*examples != ExampleConfig::default()).then(|| examples.clone()),
            name,
            program: self.context.program.clone(),
            subject,
            data_sha256: data.train.record.sha256.clone(),
            too_long: (too_long != TooLong::Error).then_some(too_long),
            packed: data.train.record.packed.map(|packed| packed.context),
            validation: data.validation.as_ref().map(|held_out| held_out.identity()),
            rows: self.config.rows(),
            train: self.train.clone(),
        }
    }

    /// Trains `parameters` to the end, or goes on where an earlier process of the same identity
    /// was. With a validator, the result is the best checkpoint.
    pub(super) fn run<'a, O: Objective>(
        &self,
        objective: &'a O,
        parameters: O::Parameters,
        data: &TrainingData,
        mut options: FitOptions<'a, O::Parameters>,
        identity: &RunIdentity<impl Serialize>,
        observer: &mut dyn Observer,
    ) -> Result<(O::Parameters, RunRecord), TrainError> {
        let directory = self.out.join(RUN);
        let workers = options.ranks.as_ref().map(Ranks::names);
        let environment = Environment::new(&self.context.device, workers);
        options.directory = Some(RunDir::open(&directory, identity, &environment)?);
        // What can be read only once, such as a pipe, has no rows any more.
        let rows = data.rows.as_ref();
        if let Some(rows) = rows.filter(|rows| rows.sha256() == data.train.record.sha256) {
            rows.write(&self.out.join(RowSet::FILE))?;
        }
        let _ = observer.observe(RunEvent::Data(&data.train.record));
        let batches = |number| Ok(data.train.batches.batch(number)?);
        let train = self.train.clone();
        let trainer = fit(
            identity.name,
            objective,
            parameters,
            train,
            options,
            &batches,
            observer,
        )?;
        let metrics = RunDir::read_metrics(&directory)?;
        let record = RunRecord {
            program: identity.program.clone(),
            data: data.train.record.clone(),
            rows: self.config.rows(),
            settings: self.train.clone(),
            step: trainer.best().map_or(trainer.completed(), |best| best.step),
            steps_done: trainer.completed(),
            skipped_steps: trainer.skipped(),
            validation: identity.validation.clone(),
            best: trainer.best().cloned(),
            final_loss: metrics.last().map(|last| last.loss),
            seconds: (StepMetrics::total_seconds(&metrics) * 1e3).round() / 1e3,
        };
        Ok((trainer.into_parameters(), record))
    }
}

/// Warns of held-out examples that are learnt as well.
fn warn_of_shared(
    rows: &RowSet,
    train: &Path,
    held_out: &Path,
    form: &ExampleForm,
) -> Result<(), TrainError> {
    let records = ExampleReader::read(held_out, form, None)?;
    let (shared, all) = (rows.count(&records), records.len());
    if shared > 0 {
        tracing::warn!(
            "{}: {shared} of {all} examples are also in {}, on which the run is trained; the \
             validation says too little about others",
            held_out.display(),
            train.display()
        );
    }
    Ok(())
}

/// A directory that holds something is only written to if it is the run's own.
fn check_directory(out: &Path, resume: bool) -> Result<(), TrainError> {
    let refuse = |reason: &str| {
        Err(TrainError::Malformed {
            path: out.to_owned(),
            reason: reason.to_owned(),
        })
    };
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

#[cfg(test)]
mod tests {
    use super::*;

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
