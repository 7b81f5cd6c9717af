use std::io;
use std::path::PathBuf;

/// What keeps a program from being judged. That it fails its tests is no error but a
/// [`Verdict`](super::Verdict).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CageError {
    /// The system lacks what a cage needs.
    #[error(
        "generated programs can't be run safely here: {missing}; score them on a Linux system with \
         Landlock (kernel 5.13 or newer) and seccomp, or accept that they may do anything that you \
         may with --unsafe-run-code"
    )]
    Unavailable {
        /// The layers that are missing, and why.
        missing: String,
    },
    /// There is no usable Python.
    #[error(
        "{}: {reason}; generated programs need Python 3.8 or newer: install it, or say where it is \
         with --python PATH",
        python.display()
    )]
    Interpreter {
        /// What was to be started.
        python: PathBuf,
        /// What came of it.
        reason: String,
    },
    /// The launcher did not do what a launcher does.
    #[error("{}: {reason}", launcher.display())]
    Launcher {
        /// The program that was started.
        launcher: PathBuf,
        /// What it said.
        reason: String,
    },
    /// A file, pipe or process of the cage can't be had.
    #[error("the cage can't be set up: {doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl CageError {
    pub(super) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
