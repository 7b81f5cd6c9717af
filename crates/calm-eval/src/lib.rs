//! Evaluation of texts and of language models: the field's metrics equal to the last digit, tests of
//! significance, benchmarks as data, evaluation runs.
//!
//! Running models is the feature `models`; scoring texts needs neither it nor Burn.
//!
//! ```
//! use calm_eval::{Chrf, Metric, Statistics};
//!
//! # fn main() -> Result<(), calm_eval::ScoreError> {
//! let chrf1 = Chrf::chrf1();
//! let hypotheses = ["the cat sat", "no"];
//! let references = [vec!["the cat sat down", "yes"]];
//! let statistics = Statistics::of(&chrf1, &hypotheses, &references)?;
//! assert!((statistics.corpus() - 70.665).abs() < 0.001);
//! assert_eq!(statistics.sentence(1), 0.0);
//! assert!(chrf1.signature(1).contains("beta:1"));
//! # Ok(())
//! # }
//! ```
//!
//! | item | holds |
//! | --- | --- |
//! | [`Metric`], [`Statistics`] | the interface of metrics, and their counts in a corpus |
//! | [`Chrf`], [`Bleu`], [`AnswerMatch`] | metrics of texts and of answers |
//! | [`passk`] | pass@k |
//! | [`significance`] | bootstrap, paired bootstrap, paired approximate randomisation |
//! | [`Estimate`] | a score with its 95 % interval |
//! | [`examples`] | worked examples and perplexity of data that is no task |
//! | [`tasks`] | benchmarks as data |
//! | [`run`] | evaluations of models: every answer, scores, comparisons |

pub mod examples;
#[cfg(feature = "models")]
mod greedy;
mod metrics;
pub mod run;
pub mod tasks;

#[cfg(feature = "models")]
pub use greedy::{GreedySample, accuracy, exact_match};
pub use metrics::{
    AnswerMatch, Bleu, BleuDetail, BleuTokenizer, Chrf, Estimate, Metric, Proportion, ScoreError,
    Smoothing, Spread, Statistics, passk, significance,
};
