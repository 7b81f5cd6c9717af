//! What a long computation shows on standard error, and how it is asked to stop.
//!
//! For programs with a terminal: the binary `calm`, and `xtask`. Nothing else in the workspace
//! prints.

#[cfg(feature = "tui")]
mod dashboard;
pub mod interrupt;
#[cfg(feature = "tui")]
mod keys;
mod pace;
mod progress;
mod run;
pub mod warnings;

pub use progress::Progress;
pub use run::{Display, RunDisplay};
