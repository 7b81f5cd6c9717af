//! Errors of experiments.

use std::path::PathBuf;

use calm_compose::ComposeError;
use calm_data::DataError;
use calm_eval::run::RunError;
use calm_eval::tasks::TaskError;
use calm_models::ModelError;
use calm_train::TrainError;

/// Why an experiment cannot be read or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExperimentError {
    /// A file of experiments, or of their data, cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Something in an experiment is wrong.
    #[error("{place}: {reason}")]
    File {
        /// The file, and the line where that is known.
        place: String,
        /// What is wrong, and what would mend it.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Files(#[from] calm_files::FileError),
    /// A task cannot be evaluated.
    #[error("task '{task}': {source}")]
    Task {
        /// Id of the task.
        task: String,
        /// Why.
        source: Box<TaskError>,
    },
    /// A model cannot be used.
    #[error("model '{model}': {source}")]
    Model {
        /// Id of the model.
        model: String,
        /// Why.
        source: Box<ModelError>,
    },
    /// A system cannot be trained.
    #[error("{job}: {source}")]
    Training {
        /// System and seed.
        job: String,
        /// Why.
        source: Box<TrainError>,
    },
    /// A system cannot be loaded.
    #[error("{job}: {source}")]
    Loading {
        /// System and seed.
        job: String,
        /// Why.
        source: Box<ComposeError>,
    },
    /// A system cannot be evaluated.
    #[error("{job}: {source}")]
    Evaluation {
        /// System and seed.
        job: String,
        /// Why.
        source: Box<RunError>,
    },
    /// A library panicked.
    #[error("{job}: {reason}")]
    Panic {
        /// System and seed.
        job: String,
        /// The message of the panic.
        reason: String,
    },
    /// The results cannot be put in a table.
    #[error(transparent)]
    Table(#[from] crate::table::TableError),
    /// The table cannot be shown.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// There is less memory than a single job takes.
    #[error(
        "{job} takes about {needed_mib} MiB, and {available_mib} MiB are free; free some, or give \
         it less to hold (fewer --rows, --gradient-checkpointing)"
    )]
    Memory {
        /// System and seed.
        job: String,
        /// Memory of the job.
        needed_mib: u64,
        /// Memory of the machine that is free.
        available_mib: u64,
    },
    /// A directory holds the table of another experiment.
    #[error(
        "{}: holds the table of the experiment {}, which has the same name; rename one of the two \
         files, or give another --out",
        path.display(),
        other.display()
    )]
    SameName {
        /// Directory of the table.
        path: PathBuf,
        /// File of the other experiment.
        other: PathBuf,
    },
    /// The user interrupted it.
    #[error(
        "interrupted with {done} of {jobs} jobs done; the same command goes on from where it was"
    )]
    Interrupted {
        /// Jobs that are done.
        done: usize,
        /// All jobs.
        jobs: usize,
    },
}

impl ExperimentError {
    /// A system, of this title, cannot be evaluated.
    pub(crate) fn evaluation(job: &str, source: RunError) -> Self {
        Self::Evaluation {
            job: job.to_owned(),
            source: Box::new(source),
        }
    }
}
