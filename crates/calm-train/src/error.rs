//! Errors of training.

use std::path::PathBuf;

use crate::WorkerError;

/// Errors of this crate. Every message says what was wrong, where, and what would mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("training setting `{field}` must be {expected}")]
    Config {
        /// Name of the setting.
        field: &'static str,
        /// Allowed values.
        expected: &'static str,
    },
    /// A setting of a run cannot be used.
    #[error("--{setting}: {reason}")]
    Setting {
        /// Its name in files, which is that of its flag.
        setting: &'static str,
        /// The reason, and the remedy.
        reason: String,
    },
    /// Settings that have no default are not given.
    #[error("required settings are missing: --{settings}")]
    Missing {
        /// Their names.
        settings: String,
    },
    /// The observer of a run broke off. The last step is saved, if the run has a directory.
    #[error("interrupted at step {step} of {steps}; the same run with `resume` goes on from there")]
    Interrupted {
        /// The last step that was done.
        step: usize,
        /// Steps of the whole run.
        steps: usize,
    },
    /// The optimiser library refused the learning rate schedule.
    #[error("learning rate schedule: {reason}")]
    Schedule {
        /// Its answer.
        reason: String,
    },
    /// The data could not be read or batched.
    #[error(transparent)]
    Data(#[from] calm_data::DataError),
    /// The loss, or the norm of its gradients, is no longer a number.
    #[error(
        "the {quantity} became {value} at step {step}; {}. Lower the learning rate, or look at \
         that step's examples: {examples:?}",
        last_good(*checkpoint)
    )]
    NotFinite {
        /// `loss` or `gradient norm`.
        quantity: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// 1-based step.
        step: usize,
        /// Step of the last checkpoint, 0 if there is none.
        checkpoint: usize,
        /// Indices of the examples in the batch.
        examples: Vec<usize>,
    },
    /// So many steps in a row had to be skipped that it is no accident.
    #[error("{skipped} steps in a row were skipped, and again {last}")]
    TooManySkipped {
        /// Steps skipped before this one.
        skipped: usize,
        /// The error of this step.
        last: Box<TrainError>,
    },
    /// The disk is full, say. What was written before is whole.
    #[error("{source}; step {step} is not saved, and {}. Make room, then go on from there", last_good(*checkpoint))]
    NotSaved {
        /// The last step that was done.
        step: usize,
        /// Step of the last checkpoint, 0 if there is none.
        checkpoint: usize,
        /// The error of writing.
        source: Box<TrainError>,
    },
    /// Another process writes to this run directory.
    #[error(
        "{}: another process is training in this directory; wait for it or choose another \
         directory",
        path.display()
    )]
    Locked {
        /// The run directory.
        path: PathBuf,
    },
    /// The directory holds a run that was started otherwise.
    #[error(
        "{}: holds a run with other settings ({difference}); choose another directory, or the \
         settings it was started with",
        path.display()
    )]
    OtherRun {
        /// The run directory.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// The directory was written by a program with another layout of run directories.
    #[error(
        "{}: format_version is {found}, this program goes on with runs of version {expected}; use \
         the program that began the run, or another directory",
        path.display()
    )]
    Format {
        /// `run.json`.
        path: PathBuf,
        /// Its version, 0 if it has none.
        found: u64,
        /// The version that can be read.
        expected: u64,
    },
    /// A file of the run says something it may not say.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A worker is of no use from the start.
    #[error("worker {worker} {source}")]
    Worker {
        /// Its address.
        worker: String,
        /// The reason.
        source: WorkerError,
    },
    /// A worker gave no gradients.
    #[error(
        "worker {worker} {source}, in step {step}; {}. Resume the run from there, with the same \
         workers or others",
        last_good(*checkpoint)
    )]
    WorkerLost {
        /// Its address, or the name of its device.
        worker: String,
        /// 1-based step.
        step: usize,
        /// Step of the last checkpoint, 0 if there is none.
        checkpoint: usize,
        /// The reason.
        source: WorkerError,
    },
    /// Nobody could reach a worker here.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The system has no more threads.
    #[error("cannot start threads: {source}")]
    Threads {
        /// Its answer.
        source: rayon::ThreadPoolBuildError,
    },
    /// A model could not be used.
    #[error(transparent)]
    Model(#[from] calm_models::ModelError),
    /// The settings describe no model.
    #[error("the settings make no model: {0}")]
    Decoder(#[from] calm_models::ConfigError),
    /// Models could not be composed, or a composition not be read or written.
    #[error(transparent)]
    Compose(#[from] calm_compose::ComposeError),
    /// A device cannot be had.
    #[error(transparent)]
    Device(#[from] calm_backend::DeviceError),
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl TrainError {
    /// A setting that cannot be used.
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Setting { setting, reason }
    }
}

fn last_good(checkpoint: usize) -> String {
    match checkpoint {
        0 => "there is no checkpoint yet".to_owned(),
        step => format!("the last good checkpoint is that of step {step}"),
    }
}

impl From<calm_files::FileError> for TrainError {
    fn from(calm_files::FileError { path, source }: calm_files::FileError) -> Self {
        Self::Io { path, source }
    }
}
