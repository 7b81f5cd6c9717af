//! Scores of texts, of answers and of programs, with their uncertainty.
//!
//! A [`Metric`] sums whole numbers over sentences and turns the sums into a score, so that one way
//! serves sentences, corpora, confidence and tests of significance.

mod answer;
mod bleu;
mod bleu_tokenizer;
mod chrf;
mod estimate;
mod metric;
pub mod passk;
mod proportion;
pub mod significance;
mod spread;
mod text;

pub use answer::AnswerMatch;
pub use bleu::{Bleu, BleuDetail, Smoothing};
pub use bleu_tokenizer::BleuTokenizer;
pub use chrf::Chrf;
pub use estimate::Estimate;
pub use metric::{Metric, ScoreError, Statistics};
pub use proportion::Proportion;
pub use spread::Spread;

/// Version of the metrics, at the end of signatures.
pub(crate) const VERSION: &str = concat!("calm-", env!("CARGO_PKG_VERSION"));
