//! Evaluation runs of models over tasks.
//!
//! A run is a directory. `run.json` describes the run, `samples.jsonl` has every answer as soon as it
//! is scored, and `results.json` the scores at the end. An interrupted run continues; a run with
//! another `run.json` is refused.
//!
//! Only generating needs the feature `models`: answers can be scored again without a model.

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
pub use directory::{Description, EvaluationDirectory, PromptOverflow, RunTask};
pub use error::RunError;
pub use evaluation::{Evaluation, Selection};
#[cfg(feature = "models")]
pub use generate::{Answering, Decoding};
pub use results::{GroupScore, LanguageScore, Results, TaskResults};
pub use score::{Sample, Scorer, Written, counted};
