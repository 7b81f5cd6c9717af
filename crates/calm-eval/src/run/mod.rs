//! Evaluations of models over tasks: what was asked, every answer, and the scores.
//!
//! A run is a directory. `run.json` says what it is a run of, `samples.jsonl` has every answer as soon
//! as it is scored, and `results.json` the scores once all are there. A run that was ended goes on
//! where it was; one of anything else than `run.json` says is refused.
//!
//! Only generating needs the feature `models`: answers can be scored again without any.

mod compare;
mod directory;
mod error;
mod evaluation;
#[cfg(feature = "models")]
mod generate;
mod results;
#[cfg(test)]
mod schema;
mod score;

pub use compare::{Comparison, LanguageDifference, compare};
pub use directory::{Description, RunDir, RunTask, TooLong};
pub use error::RunError;
pub use evaluation::{Evaluation, Selection};
#[cfg(feature = "models")]
pub use generate::{Answering, Decoding};
pub use results::{GroupScore, LanguageScore, Results, TaskResults};
pub use score::{Sample, Scorer, Written};
