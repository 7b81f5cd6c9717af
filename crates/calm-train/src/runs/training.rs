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
use super::record::{Environment, RunIdentity, RunRecord, ValidationIdentity};
use super::split::{DataSplit, read_file};
use super::validation::ValidationData;
use super::{Observer, RunContext, RunEvent};
use crate::{
    BatchSource, DataTokenizer, Keep, Objective, Outcome, Ranks, Reference, RunDescription, RunDir,
    RunProgress, StepMetrics, TrainConfig, TrainError, Trainer, Validator,
};

/// Name of a run's directory in the directory of its result.
const RUN: &str = "run";

/// Receives the result so far, with the record of the run so far.
pub(super) type KeepRecord<'a, P> = Box<dyn Fn(&P, RunRecord) -> Result<(), TrainError> + 'a>;

/// Parts that only some runs have.
pub struct FitOptions<'a, P> {
    /// Directory that the run can be resumed from.
    pub directory: Option<RunDir>,
    /// Validation against other data.
    pub validator: Option<Box<dyn Validator<P> + 'a>>,
    /// Devices and processes that compute the batches of a step.
    pub ranks: Option<Ranks<'a, P>>,
    /// Losses that the run is measured by. The last is that of the parameters that it begins with.
    pub references: Vec<Reference<'a>>,
    /// Receives the result so far at every checkpoint.
    pub keep: Option<Keep<'a, P>>,
}

impl<P> Default for FitOptions<'_, P> {
    fn default() -> Self {
        Self {
            directory: None,
            validator: None,
            ranks: None,
            references: Vec::new(),
            keep: None,
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
    if let Some(keep) = options.keep {
        trainer = trainer.kept_by(keep);
    }
    for reference in &options.references {
        let taken = trainer.measure(reference)?;
        let _ = observer.observe(RunEvent::Reference(&taken));
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
    if let (Outcome::Finished | Outcome::StoppedEarly, Some(summary)) = (outcome, trainer.summary())
    {
        let _ = observer.into_inner().observe(RunEvent::Summary(&summary));
    }
    match outcome {
        Outcome::Finished | Outcome::StoppedEarly => Ok(trainer),
        Outcome::Interrupted => Err(TrainError::Interrupted {
            step: trainer.completed(),
            steps,
        }),
    }
}

/// A run whose settings are sound.
#[derive(Debug, Clone)]
pub(super) struct TrainingRun {
    pub(super) config: TrainingConfig,
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
        config.check(context.seed)?;
        let mut config = config.clone();
        if config.resume && holds_nothing_out(&out.join(RUN)) {
            config.validation.validation_share.get_or_insert(0.0);
        }
        Ok(Self {
            config,
            context,
            out: out.to_owned(),
            writes,
            memory_before: calm_backend::peak_memory().unwrap_or(0),
        })
    }

    /// Reads and tokenises the examples. A run that is only described leaves no file behind.
    pub(super) fn read_data(
        &self,
        plan: &TextPlan<'_>,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<TrainingData, TrainError> {
        let data_tokenizer = DataTokenizer(plan.tokenizer);
        let form = ExampleForm {
            mask_field: plan.mask_field.map(str::to_owned),
            ..self.config.data.examples.form()
        };
        let mut read = |name: &Path, with_run: &str| {
            let mut fetched = |fetching: Fetching<'_>| {
                let _ = observer.observe(RunEvent::Fetching(fetching));
            };
            let located = locate_examples(name, &mut fetched)?;
            let file = DataFile {
                path: located.path,
                form: form.clone(),
                tokenizing: plan.tokenizing(&data_tokenizer, self.config.data.too_long),
            };
            let with_run = self.out.join(RUN).join(with_run);
            let with_run = (self.writes && !is_described).then_some(with_run.as_path());
            let tokens = read_file(&self.config.data, &file, with_run, observer)?;
            Ok::<_, TrainError>((file, tokens, located.name))
        };
        let batches = |examples| {
            // Padding is never seen, so any token will do.
            let (rows, padding) = (self.config.rows(), plan.special.pad.unwrap_or(0));
            let seed = self.context.seed;
            match plan.is_packed {
                false => Batches::new(examples, rows, padding, seed),
                true => Batches::packed(examples, rows, plan.context, padding, seed),
            }
        };
        let config = &self.config.validation;
        let (file, tokens, name) = read(&self.config.train, "tokens")?;
        let train_path = file.path.clone();
        let (mut train, part) = DataSplit::held_out(config, &file, tokens, batches)?;
        train.record.path = name;
        let is_needed = (self.writes && !is_described) || config.validation.is_some();
        let rows = is_needed.then(|| RowSet::of(&train_path, &form));
        let rows = rows.transpose()?;
        let has_split = part.is_some();
        let validation = match (&config.validation, part) {
            (Some(name), _) => {
                let (file, tokens, name) = read(name, "held-out-tokens")?;
                if let Some(rows) = &rows {
                    warn_of_shared(rows, &train_path, &file.path, &form)?;
                }
                let mut split = DataSplit::new(&file, tokens, batches);
                split.record.path = name;
                let held_out = ValidationData::of_file(config, &file.path, split, plan, &form);
                Some(held_out?)
            }
            (None, Some(part)) => {
                let held_out = ValidationData::of_part(config, &train_path, part, plan, &form);
                Some(held_out?)
            }
            (None, None) => None,
        };
        let (seed, per_epoch) = (self.context.seed, train.batches.per_epoch());
        Ok(TrainingData {
            settings: self.config.resolve(seed, per_epoch, has_split)?,
            train,
            validation,
            rows,
            masking: None,
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
            train: data.settings.clone(),
        }
    }

    /// Trains `parameters` to the end, or goes on where an earlier process of the same identity
    /// was. With a validator, the result is the best checkpoint. `keep` receives the result so far
    /// at every checkpoint.
    pub(super) fn run<'a, O: Objective>(
        &'a self,
        (objective, parameters): (&'a O, O::Parameters),
        data: &'a TrainingData,
        mut options: FitOptions<'a, O::Parameters>,
        identity: &'a RunIdentity<impl Serialize>,
        keep: Option<KeepRecord<'a, O::Parameters>>,
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
        let record = move |progress: &RunProgress| {
            self.record(
                progress,
                data,
                &identity.program,
                identity.validation.clone(),
            )
        };
        if let Some(keep) = keep {
            let keep = move |parameters: &O::Parameters, progress: &RunProgress| {
                keep(parameters, record(progress)?)
            };
            options.keep = Some(Box::new(keep));
        }
        let _ = observer.observe(RunEvent::Data(&data.train.record));
        let batches = |number| data.batch(number);
        let settings = data.settings.clone();
        let trainer = fit(
            identity.name,
            objective,
            parameters,
            settings,
            options,
            &batches,
            observer,
        );
        let trainer = trainer.map_err(|error| data.train.in_file(error))?;
        let record = record(&trainer.progress())?;
        Ok((trainer.into_parameters(), record))
    }

    fn record(
        &self,
        progress: &RunProgress,
        data: &TrainingData,
        program: &str,
        validation: Option<ValidationIdentity>,
    ) -> Result<RunRecord, TrainError> {
        let metrics = RunDir::read_metrics(&self.out.join(RUN))?;
        let sum = |of: fn(&StepMetrics) -> usize| metrics.iter().map(|step| of(step) as u64).sum();
        let progress = progress.clone();
        Ok(RunRecord {
            program: program.to_owned(),
            data: data.train.record.clone(),
            rows: self.config.rows(),
            settings: data.settings.clone(),
            step: progress.step,
            steps_done: progress.steps_done,
            skipped_steps: progress.skipped_steps,
            validation,
            best: progress.best,
            summary: progress.summary,
            final_loss: metrics.last().map(|last| last.loss),
            seconds: (StepMetrics::total_seconds(&metrics) * 1e3).round() / 1e3,
            tokens_read: sum(|step| step.tokens),
            target_tokens: sum(|step| step.target_tokens),
            flops: None,
            peak_bytes: StepMetrics::peak_bytes(&metrics).max(calm_backend::peak_memory()),
        })
    }
}

/// Whether the run in this directory was begun without held-out data, as those of before there was
/// a share of it. It goes on as it began.
fn holds_nothing_out(directory: &Path) -> bool {
    RunDescription::read(directory).is_ok_and(|run| run.settings["validation"].is_null())
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
