//! What can go wrong with a worker.

use std::io;

/// Why a worker gives no gradients.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Nobody listens at its address, or the way there is closed.
    #[error("cannot be reached ({source}); is it listening there?")]
    Unreachable {
        /// The system's answer.
        source: io::Error,
    },
    /// It does not know what only those know that may work together.
    #[error("has another token; both sides need the same")]
    Unauthorized,
    /// What it would train on, or how, is something else.
    #[error(
        "has another run ({difference}); start it with the same flags, models, data and program"
    )]
    OtherRun {
        /// The first difference.
        difference: String,
    },
    /// The process or the machine is gone.
    #[error("was lost ({reason})")]
    Lost {
        /// How that was noticed.
        reason: String,
    },
    /// It may be hanging, or its machine may be.
    #[error("said nothing for {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// It could not compute what it was asked for.
    #[error("failed: {reason}")]
    Failed {
        /// Its own words.
        reason: String,
    },
    /// What came is not what a worker of this program says.
    #[error("does not speak like a worker of this program: {reason}")]
    Protocol {
        /// What came.
        reason: String,
    },
    /// Nobody wanted the result any more.
    #[error("was told to stop")]
    Cancelled,
}
