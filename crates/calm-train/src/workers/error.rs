//! Errors of workers.

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
    /// It belongs to a run with other data or settings.
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
    /// The message is none of a worker of this program.
    #[error("does not speak like a worker of this program: {reason}")]
    Protocol {
        /// Description of the message.
        reason: String,
    },
    /// Nobody wanted the result any more.
    #[error("was told to stop")]
    Cancelled,
}
