//! What can stop a training run.

use std::path::PathBuf;

/// Errors of this crate. Every message says what was wrong, where, and what would mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("training setting `{field}` must be {expected}")]
    Config {
        /// Name of the setting.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
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
        "the {quantity} became {value} at step {step}; the last good checkpoint is that of step \
         {checkpoint}. Lower the learning rate, or look at that step's examples: {examples:?}"
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
    /// A file of the run says something it may not say.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}
