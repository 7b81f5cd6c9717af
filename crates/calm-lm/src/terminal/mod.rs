//! Progress of long computations on standard error, and Ctrl-C.
//!
//! For programs with a terminal: the binary `calm`, and `xtask`. Nothing else in the workspace
//! prints.

mod bars;
mod build;
#[cfg(feature = "tui")]
mod dashboard;
mod experiment;
mod file;
pub mod interrupt;
#[cfg(feature = "tui")]
mod keys;
mod line;
mod pace;
mod progress;
mod run;
pub mod silence;
mod stream;

pub mod warnings;

pub use build::BuildDisplay;
pub use calm_experiments::report::visible;
pub use experiment::ExperimentDisplay;
pub use file::FileProgress;
pub use line::write_line;
pub use progress::Progress;
pub use run::{Display, RunDisplay};
pub use stream::Stream;
