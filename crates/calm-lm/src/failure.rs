//! Errors of commands, and how they are printed.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use calm_lm::backend::DeviceError;
use calm_lm::compose::ComposeError;
use calm_lm::data::DataError;
use calm_lm::eval::ScoreError;
use calm_lm::eval::run::RunError;
use calm_lm::eval::tasks::TaskError;
use calm_lm::experiments::ExperimentError;
use calm_lm::experiments::report::ReportError;
use calm_lm::files::FileError;
use calm_lm::models::{ConfigError, HubError, ModelError};
use calm_lm::sandbox::SandboxError;
use calm_lm::terminal::{interrupt, silence, visible, write_line};
use calm_lm::train::TrainError;
use clap::error::ErrorKind;

use crate::names::Unknown;

/// Bad usage and bad input, mostly found out by the libraries, whose messages name the file, what
/// is wrong with it, and what would mend it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(
        "{device} gave up: {reason}; what was saved is whole, and --device cpu or --resume go on \
         from it"
    )]
    Broke { device: String, reason: String },
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fetch(#[from] HubError),
    #[error(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    Train(TrainError),
    /// An example of a file, or a prompt of the command line.
    #[error("{origin}: {source}")]
    Text { origin: String, source: DataError },
    #[error("the settings make no model: {0}")]
    Settings(#[from] ConfigError),
    /// A line of a conversation.
    #[error("{0}")]
    Chat(String),
    /// Error of the command line's parser, or help that was asked for.
    #[error(transparent)]
    Usage(clap::Error),
    #[error(transparent)]
    Unknown(Unknown),
    /// A flag out of a file.
    #[error("{place}: {reason}")]
    Config { place: String, reason: String },
    #[error("{flag}: {reason}")]
    Flag { flag: &'static str, reason: String },
    #[error("{}: {reason}", path.display())]
    Path { path: PathBuf, reason: String },
    #[error("{origin}: {source}")]
    Io { origin: String, source: io::Error },
    #[error(
        "interrupted at step {step} of {steps}, which is saved; the same command with --resume \
         goes on from there"
    )]
    Interrupted { step: usize, steps: usize },
    #[error(
        "interrupted after {done} of {total} examples, which are saved; the same command goes on"
    )]
    Stopped { done: usize, total: usize },
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
}

impl Failure {
    /// Something about a file or directory.
    pub(crate) fn path(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.into(), reason.into());
        Self::Path { path, reason }
    }

    /// Something about a flag.
    pub(crate) fn flag(flag: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::Flag { flag, reason }
    }

    /// Standard output takes no more.
    pub(crate) fn output(source: io::Error) -> Self {
        let origin = "standard output".to_owned();
        Self::Io { origin, source }
    }

    /// Tells it on standard error.
    pub(crate) fn explain(&self) -> ExitCode {
        if let Self::Usage(error) = self {
            return explain_usage(error);
        }
        let code = complain(&self.to_string());
        match self {
            Self::Interrupted { .. }
            | Self::Stopped { .. }
            | Self::Data(DataError::Interrupted)
            | Self::Experiment(ExperimentError::Interrupted { .. }) => {
                ExitCode::from(interrupt::EXIT_CODE)
            }
            _ => code,
        }
    }

    /// The name of the flag whose value is to blame, if that is known.
    pub(crate) fn flag_name(&self) -> Option<String> {
        match self {
            Self::Flag { flag, .. } => Some(flag.trim_start_matches("--").to_owned()),
            Self::Train(TrainError::Config { field, .. }) => Some(field.replace('_', "-")),
            Self::Train(TrainError::Setting { setting, .. }) => Some((*setting).to_owned()),
            _ => None,
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted { step, steps } => Self::Interrupted { step, steps },
            TrainError::Data(error) => error.into(),
            TrainError::Model(error) => error.into(),
            TrainError::Compose(error) => error.into(),
            TrainError::Device(error) => error.into(),
            other => Self::Train(other),
        }
    }
}

/// One line on standard error, whatever the message quotes: neither line ends nor escape sequences. Returns the code of bad input.
pub(crate) fn complain(message: &str) -> ExitCode {
    silence::heard();
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    write_line(format_args!("error: {}", visible(&lines.join(" "))));
    ExitCode::from(2)
}

/// Prints the help that was asked for, or in one line what is wrong with the command line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => error.exit(),
        _ => complain(&one_line(&error.to_string())),
    }
}

/// The paragraphs of clap in one line, without its usage, which `--help` shows with examples.
pub(crate) fn one_line(message: &str) -> String {
    let said: Vec<&str> = message
        .split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more"))
        .collect();
    let said = said.join("; ");
    format!("{}; see --help", said.trim_start_matches("error: "))
}
