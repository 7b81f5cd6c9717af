//! BLEU (Papineni et al., ACL 2002), with the details of sacreBLEU (Post, WMT 2018).

use std::collections::HashMap;
use std::fmt;

use super::bleu_tokenizer::BleuTokenizer;
use super::metric::{Metric, ScoreError};
use super::text::{case_name, cased, words};

/// Words of the longest n-grams.
const ORDER: usize = 4;

/// Smoothing of orders without a match (Chen and Cherry, WMT 2014).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Smoothing {
    /// Half a match for the first such order, a quarter for the second, and so on.
    #[default]
    Exp,
    /// This many matches.
    Floor(f64),
    /// This much is added to the matches and n-grams of all orders from 2.
    AddK(f64),
    /// None: the score is 0.
    None,
}

impl Smoothing {
    /// The smoothing of this name in sacreBLEU, with this value or sacreBLEU's default.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Setting`] if there is none of this name, or it takes no such value.
    pub fn named(name: &str, value: Option<f64>) -> Result<Self, ScoreError> {
        let setting = |setting, found, expected| ScoreError::Setting {
            setting,
            found,
            expected,
        };
        if let Some(value) = value
            && !(value > 0.0 && value.is_finite())
        {
            let found = value.to_string();
            return Err(setting("smooth-value", found, "a positive number"));
        }
        match (name, value) {
            ("exp", None) => Ok(Self::Exp),
            ("none", None) => Ok(Self::None),
            ("floor", value) => Ok(Self::Floor(value.unwrap_or(0.1))),
            ("add-k", value) => Ok(Self::AddK(value.unwrap_or(1.0))),
            ("exp" | "none", Some(value)) => {
                let expected = "left out unless the smoothing is floor or add-k";
                Err(setting("smooth-value", value.to_string(), expected))
            }
            _ => Err(setting(
                "smooth",
                name.to_owned(),
                "exp, floor, add-k or none",
            )),
        }
    }
}

impl fmt::Display for Smoothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exp => f.write_str("exp"),
            Self::Floor(value) => write!(f, "floor[{value:.2}]"),
            Self::AddK(value) => write!(f, "add-k[{value:.2}]"),
            Self::None => f.write_str("none"),
        }
    }
}

/// BLEU with its settings; the default is sacreBLEU's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bleu {
    /// Splits texts into words.
    pub tokenizer: BleuTokenizer,
    /// Smoothing of orders without a match.
    pub smoothing: Smoothing,
    /// Whether to convert texts to lower case.
    pub lowercase: bool,
    /// Whether to skip orders of which the hypothesis has no n-gram. Wanted for single sentences, not
    /// for a corpus.
    pub effective_order: bool,
}

/// A score and its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct BleuDetail {
    /// BLEU, from 0 to 100.
    pub score: f64,
    /// Precision of n-grams of 1 to 4 words, in percent.
    pub precisions: [f64; ORDER],
    /// Penalty of hypotheses that are too short.
    pub brevity_penalty: f64,
    /// Words of the hypotheses.
    pub hypothesis_words: u64,
    /// Words of the references; of several, the one nearest in length.
    pub reference_words: u64,
}

impl Bleu {
    /// The score of a sum of statistics, with its parts.
    pub fn detail(&self, sums: &[u64]) -> BleuDetail {
        let (hypothesis_words, reference_words) = (sums[0], sums[1]);
        let (matches, grams) = sums[2..].split_at(ORDER);
        let brevity_penalty = match (hypothesis_words, reference_words) {
            (0, _) => f64::from(u8::from(reference_words == 0)),
            (short, long) if short < long => (1.0 - long as f64 / short as f64).exp(),
            _ => 1.0,
        };
        let mut detail = BleuDetail {
            score: 0.0,
            precisions: [0.0; ORDER],
            brevity_penalty,
            hypothesis_words,
            reference_words,
        };
        if matches.iter().all(|&count| count == 0) {
            return detail;
        }
        let orders = self.smooth(matches, grams, &mut detail.precisions);
        let logs = detail.precisions[..orders].iter().map(|p| p.ln());
        detail.score = brevity_penalty * (logs.sum::<f64>() / orders as f64).exp();
        detail
    }

    /// Writes precisions, and returns the number of orders to average.
    fn smooth(&self, matches: &[u64], grams: &[u64], precisions: &mut [f64; ORDER]) -> usize {
        let mut share = 1.0;
        for order in 0..ORDER {
            let (mut matched, mut all) = (matches[order] as f64, grams[order] as f64);
            if let Smoothing::AddK(k) = self.smoothing
                && order > 0
            {
                matched += k;
                all += k;
            }
            if all == 0.0 {
                return if self.effective_order { order } else { ORDER };
            }
            precisions[order] = 100.0 / all
                * match self.smoothing {
                    Smoothing::Exp if matched == 0.0 => {
                        share /= 2.0;
                        share
                    }
                    Smoothing::Floor(floor) if matched == 0.0 => floor,
                    _ => matched,
                };
        }
        ORDER
    }
}

impl Metric for Bleu {
    fn name(&self) -> String {
        "BLEU".to_owned()
    }

    fn signature(&self, references: usize) -> String {
        format!(
            "nrefs:{references}|case:{}|eff:{}|tok:{}|smooth:{}|version:{}",
            case_name(self.lowercase),
            if self.effective_order { "yes" } else { "no" },
            self.tokenizer,
            self.smoothing,
            super::VERSION
        )
    }

    fn width(&self) -> usize {
        2 + 2 * ORDER
    }

    /// Words of both, matches of each order, n-grams of each order. The reference with most
    /// occurrences of an n-gram limits its matches.
    fn count(&self, hypothesis: &str, references: &[&str], statistics: &mut [u64]) {
        let spaced = |text: &str| self.tokenizer.spaced(&cased(text, self.lowercase));
        let hypothesis = spaced(hypothesis);
        let references: Vec<String> = references.iter().map(|text| spaced(text)).collect();
        let mut numbers = HashMap::new();
        let hypothesis = numbered(&hypothesis, &mut numbers);
        let references: Vec<Vec<u32>> = references
            .iter()
            .map(|text| numbered(text, &mut numbers))
            .collect();
        statistics[0] = hypothesis.len() as u64;
        statistics[1] = nearest_length(&references, hypothesis.len()) as u64;
        for order in 1..=ORDER {
            let found = grams(&hypothesis, order);
            statistics[1 + order] = matches(&found, &references, order);
            statistics[1 + ORDER + order] = found.values().sum();
        }
    }

    fn score(&self, sums: &[u64]) -> f64 {
        self.detail(sums).score
    }
}

/// Words of a text as numbers; equal words have equal numbers.
fn numbered<'a>(text: &'a str, numbers: &mut HashMap<&'a str, u32>) -> Vec<u32> {
    let number = |word| {
        let next = numbers.len() as u32;
        *numbers.entry(word).or_insert(next)
    };
    words(text).map(number).collect()
}

/// Length of the reference nearest in length; of two equally near, the shorter.
fn nearest_length(references: &[Vec<u32>], length: usize) -> usize {
    let lengths = references.iter().map(Vec::len);
    lengths
        .min_by_key(|&of| (of.abs_diff(length), of))
        .unwrap_or(0)
}

fn grams(words: &[u32], order: usize) -> HashMap<&[u32], u64> {
    let mut counts = HashMap::new();
    for gram in words.windows(order) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

fn matches(found: &HashMap<&[u32], u64>, references: &[Vec<u32>], order: usize) -> u64 {
    let references: Vec<_> = references.iter().map(|words| grams(words, order)).collect();
    let matched = found.iter().map(|(gram, &count)| {
        let most = references.iter().filter_map(|of| of.get(gram)).max();
        count.min(most.copied().unwrap_or(0))
    });
    matched.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(bleu: &Bleu, hypothesis: &str, references: &[&str]) -> BleuDetail {
        let mut statistics = vec![0; bleu.width()];
        bleu.count(hypothesis, references, &mut statistics);
        bleu.detail(&statistics)
    }

    #[test]
    fn a_case_by_hand() {
        let bleu = Bleu::default();
        let found = detail(&bleu, "the the the cat", &["the cat sat on the mat", "x"]);
        // Three of four words, one of three pairs; half of one triple in two, a quarter of a whole.
        let precisions = [75.0, 100.0 / 3.0, 25.0, 25.0];
        for (found, expected) in found.precisions.iter().zip(precisions) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        // Two words are missing, and three are too many.
        assert_eq!(found.reference_words, 6);
        assert!((found.brevity_penalty - (-0.5_f64).exp()).abs() < 1e-12);
    }

    #[test]
    fn a_short_sentence_has_fewer_orders() {
        let whole = Bleu::default();
        let effective = Bleu {
            effective_order: true,
            ..Bleu::default()
        };
        assert_eq!(detail(&whole, "two words", &["two words"]).score, 0.0);
        let score = detail(&effective, "two words", &["two words"]).score;
        assert!((score - 100.0).abs() < 1e-9);
    }

    #[test]
    fn smoothings_have_names_and_values() {
        let named = |name, value| Smoothing::named(name, value).map(|found| found.to_string());
        assert_eq!(named("floor", None), Ok("floor[0.10]".to_owned()));
        assert_eq!(named("add-k", Some(2.0)), Ok("add-k[2.00]".to_owned()));
        for (name, value) in [("exp", Some(1.0)), ("floor", Some(-1.0)), ("linear", None)] {
            assert!(named(name, value).is_err(), "{name} {value:?}");
        }
    }
}
