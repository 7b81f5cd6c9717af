//! A score with its uncertainty over the examples.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::metric::{ScoreError, Statistics};
use super::proportion::Proportion;
use super::significance::bootstrap;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// A score, and the interval in which it lies with 95 % confidence: Wilson's for shares, otherwise
/// that of a bootstrap over the examples.
///
/// It is shown as `45.0 [30.7, 60.2]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The score.
    pub score: f64,
    /// The interval; none where the examples tell nothing of one: a single text, or texts that all
    /// score alike.
    pub interval_95: Option<[f64; 2]>,
}

impl Estimate {
    /// A score of texts.
    ///
    /// # Errors
    ///
    /// Never, but for settings that are out of their range.
    pub fn of_texts(statistics: &Statistics<'_>, seed: u64) -> Result<Self, ScoreError> {
        let found = bootstrap(statistics, RESAMPLES, seed)?;
        Ok(Self {
            score: statistics.corpus(),
            interval_95: (found.half_width > 0.0).then_some(found.interval_95),
        })
    }

    /// A share of right answers, of which `statistics` counts those and all.
    pub fn of_answers(statistics: &Statistics<'_>) -> Self {
        let sums = statistics.sums(0..statistics.len());
        let [hits, n] = [sums[0], sums[1]].map(|count| count as usize);
        Proportion { hits, n }.into()
    }
}

impl From<Proportion> for Estimate {
    fn from(share: Proportion) -> Self {
        Self {
            score: share.percent(),
            interval_95: Some(share.interval()),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$}", self.score)?;
        match self.interval_95 {
            Some([low, high]) => write!(f, " [{low:.digits$}, {high:.digits$}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnswerMatch, Chrf};

    #[test]
    fn no_hit_is_no_certainty() {
        let answers = AnswerMatch::Number;
        let references = [vec!["1"; 8]];
        let counted = Statistics::of(&answers, &["2"; 8], &references).unwrap();
        // Newcombe (1998): 3.8416 / 11.8416.
        assert_eq!(
            Estimate::of_answers(&counted).to_string(),
            "0.0 [0.0, 32.4]"
        );
    }

    #[test]
    fn texts_that_score_alike_tell_of_no_interval() {
        let chrf = Chrf::chrf1();
        let alike = Statistics::of(&chrf, &["a", "b"], &[vec!["c", "d"]]).unwrap();
        assert_eq!(Estimate::of_texts(&alike, 0).unwrap().to_string(), "0.0");
        let unlike = Statistics::of(&chrf, &["ab", "b"], &[vec!["ab", "d"]]).unwrap();
        let found = Estimate::of_texts(&unlike, 0).unwrap();
        let [low, high] = found.interval_95.unwrap();
        assert!(low < found.score && found.score < high, "{found}");
    }
}
