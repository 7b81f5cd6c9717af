//! One error for programs that use several of the crates.

use std::fmt;

/// Any error of the crates below. `?` turns each of theirs into it, so that a program needs no other.
///
/// Its `Debug` is its message, since that is what a `main` prints that returns it.
///
/// ```no_run
/// use calm_lm::compose::Composition;
/// use calm_lm::models::{LoadOptions, SequenceOptions};
///
/// fn main() -> Result<(), calm_lm::Error> {
///     let device = calm_lm::backend::device("auto")?;
///     let options = LoadOptions { device, ..LoadOptions::default() };
///     let composition = Composition::open("composition".as_ref(), &options)?;
///     let mut session = composition.session();
///     session.add_text("Once", &SequenceOptions::greedy(8, vec![]))?;
///     Ok(())
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A device cannot be had.
    #[error(transparent)]
    Device(#[from] calm_backend::DeviceError),
    /// Values of a tensor cannot be had, as another type or from the device.
    #[error(transparent)]
    Values(#[from] burn::tensor::TensorReadError),
    /// The name of a model is none.
    #[error(transparent)]
    Source(#[from] calm_models::SourceError),
    /// A model cannot be loaded or used.
    #[error(transparent)]
    Model(#[from] calm_models::ModelError),
    /// Settings make no model.
    #[error(transparent)]
    Config(#[from] calm_models::ConfigError),
    /// A model of the Hub cannot be had.
    #[error(transparent)]
    Hub(#[from] calm_models::HubError),
    /// Models cannot be composed, or a composition not be read or written.
    #[error(transparent)]
    Compose(#[from] calm_compose::ComposeError),
    /// Data cannot be read or made.
    #[error(transparent)]
    Data(#[from] calm_data::DataError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] calm_train::TrainError),
    /// Answers cannot be scored.
    #[error(transparent)]
    Score(#[from] calm_eval::ScoreError),
    /// A task is none.
    #[error(transparent)]
    Task(#[from] calm_eval::tasks::TaskError),
    /// An experiment cannot be read or run.
    #[error(transparent)]
    Experiment(#[from] calm_experiments::ExperimentError),
    /// An evaluation failed.
    #[error(transparent)]
    Evaluation(#[from] calm_eval::run::RunError),
    /// A report cannot be made or read.
    #[error(transparent)]
    Report(#[from] calm_experiments::report::ReportError),
    /// Generated programs cannot be run.
    #[error(transparent)]
    Sandbox(#[from] calm_sandbox::SandboxError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] calm_files::FileError),
    /// The same, of a file that the message does not name.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn errors_of_every_layer_become_one() {
        fn open() -> Result<(), Error> {
            let options = calm_models::LoadOptions::default();
            calm_compose::Composition::open(Path::new("nowhere"), &options)?;
            Ok(())
        }
        fn source() -> Result<(), Error> {
            "hf:nothing".parse::<calm_models::ModelSource>()?;
            Ok(())
        }
        let told = format!("{:?}", open().unwrap_err());
        assert!(told.starts_with("nowhere: is no composition"), "{told}");
        assert!(matches!(source(), Err(Error::Source(_))));
    }
}
