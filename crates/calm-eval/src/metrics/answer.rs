//! Shares of texts that give the right answer.

use calm_data::corpus::number::{last_number, strict_number};

use super::metric::Metric;
use super::text::{case_name, cased};

/// The share, from 0 to 100, of texts that give the answer of any of their references.
///
/// The number of a reference is always its last one. A reference without a number never matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerMatch {
    /// The text is the reference, apart from white space at the ends.
    Exact {
        /// Whether to convert texts to lower case.
        lowercase: bool,
    },
    /// The last number of the text is the reference's.
    Number,
    /// The number behind `####` is the reference's.
    NumberStrict,
}

impl AnswerMatch {
    fn is_right(&self, hypothesis: &str, reference: &str) -> bool {
        let number = match self {
            Self::Exact { lowercase } => {
                let [hypothesis, reference] =
                    [hypothesis, reference].map(|text| cased(text.trim(), *lowercase));
                return hypothesis == reference;
            }
            Self::Number => last_number(hypothesis),
            Self::NumberStrict => strict_number(hypothesis),
        };
        number.is_some_and(|number| last_number(reference) == Some(number))
    }
}

impl Metric for AnswerMatch {
    fn name(&self) -> String {
        let name = match self {
            Self::Exact { .. } => "exact",
            Self::Number => "number",
            Self::NumberStrict => "number-strict",
        };
        name.to_owned()
    }

    fn signature(&self, references: usize) -> String {
        let settings = match self {
            Self::Exact { lowercase } => format!("case:{}|match:trimmed", case_name(*lowercase)),
            Self::Number => "match:number|find:last".to_owned(),
            Self::NumberStrict => "match:number|find:####".to_owned(),
        };
        format!("nrefs:{references}|{settings}|version:{}", super::VERSION)
    }

    /// Right answers, and all.
    fn width(&self) -> usize {
        2
    }

    fn count(&self, hypothesis: &str, references: &[&str], statistics: &mut [u64]) {
        let mut references = references.iter();
        let is_right = references.any(|reference| self.is_right(hypothesis, reference));
        statistics[0] = u64::from(is_right);
        statistics[1] = 1;
    }

    fn score(&self, sums: &[u64]) -> f64 {
        match sums[1] {
            0 => 0.0,
            all => 100.0 * sums[0] as f64 / all as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Statistics;

    #[test]
    fn each_share_counts_its_own_answers() {
        let texts = ["#### 1,000", "so 1000.", "1000", "none", ""];
        let references = [vec!["a\n#### 1000", "1000", " 1000 ", "None", "0"]];
        for (share, expected) in [
            (AnswerMatch::Exact { lowercase: false }, 20.0),
            (AnswerMatch::Exact { lowercase: true }, 40.0),
            (AnswerMatch::Number, 60.0),
            (AnswerMatch::NumberStrict, 20.0),
        ] {
            let found = Statistics::of(&share, &texts, &references).unwrap();
            assert_eq!(found.corpus(), expected, "{share:?}");
        }
    }

    #[test]
    fn any_reference_may_be_matched() {
        let references = [vec!["1"], vec!["2"]];
        let found = Statistics::of(&AnswerMatch::Number, &["is 2"], &references).unwrap();
        assert_eq!(found.corpus(), 100.0);
        assert!(
            AnswerMatch::Number
                .signature(2)
                .starts_with("nrefs:2|match:number|find:last|version:")
        );
    }
}
