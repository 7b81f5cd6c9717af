//! Scores of texts, and of language models: the field's metrics equal to the last digit, readers of
//! the field's files, shares with their uncertainty, spreads over seeds.
//!
//! Running models is the feature `models`; what scores text or numbers needs neither it nor Burn.
//! Every [`Metric`] sums whole numbers over sentences and turns the sums into a score, so that one
//! way serves sentences, corpora, confidence and tests of significance.
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
//! | module | holds |
//! | --- | --- |
//! | [`passk`] | pass@k |
//! | [`significance`] | bootstrap, paired bootstrap, paired approximate randomisation |
//! | [`tasks`] | benchmarks as data |
//! | [`run`] | evaluations of models: every answer, scores, comparisons |

mod bleu;
mod chrf;
#[cfg(feature = "models")]
mod greedy;
mod metric;
pub mod passk;
mod proportion;
pub mod run;
mod share;
pub mod significance;
mod spread;
pub mod tasks;
mod text;
mod tokenize;

pub use bleu::{Bleu, BleuDetail, Smoothing};
pub use chrf::Chrf;
#[cfg(feature = "models")]
pub use greedy::{Sample, accuracy, exact_match};
pub use metric::{Metric, ScoreError, Statistics};
pub use proportion::Proportion;
pub use share::Share;
pub use spread::Spread;
pub use tokenize::Tokenizer;

/// What signatures end in.
const VERSION: &str = concat!("calm-", env!("CARGO_PKG_VERSION"));
