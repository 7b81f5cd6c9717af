//! Errors of the sandbox.

use std::io;
use std::path::PathBuf;

/// Why a program cannot be judged. A program that fails its tests is not an error but a
/// [`Verdict`](crate::Verdict).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The system lacks a layer that a sandbox needs.
    #[error(
        "generated programs can't be run safely here: {missing}; score them on a Linux system with \
         Landlock (kernel 5.13 or newer) and seccomp, or accept that they may do anything that you \
         may with --unsafe-run-code"
    )]
    Unavailable {
        /// The missing layers, and why they are needed.
        missing: String,
    },
    /// There is no usable Python.
    #[error(
        "{}: {reason}; generated programs need Python 3.8 or newer: install it, or say where it is \
         with --python PATH",
        python.display()
    )]
    Interpreter {
        /// The interpreter that was tried.
        python: PathBuf,
        /// Why it is not usable.
        reason: String,
    },
    /// The launcher does not behave like one.
    #[error("{}: {reason}", launcher.display())]
    Launcher {
        /// The program that was started.
        launcher: PathBuf,
        /// Its message.
        reason: String,
    },
    /// A file, pipe or process of the sandbox cannot be made.
    #[error("the sandbox can't be set up: {doing}: {source}")]
    Io {
        /// The operation.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl SandboxError {
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}
