use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Results, RunError, Sample};

/// How often the signs of differences are drawn.
const TRIALS: usize = 10_000;

/// What is called significant.
const LEVEL: f64 = 0.05;

/// How one run differs from another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Per task and language that both have, in the order of the first run.
    pub languages: Vec<LanguageDifference>,
    /// In how many the second is better.
    pub wins: usize,
    /// In how many it is better, and significantly so.
    pub significant_wins: usize,
    /// In how many it is worse.
    pub losses: usize,
    /// In how many it is worse, and significantly so.
    pub significant_losses: usize,
    /// Mean of the differences.
    pub mean_difference: f64,
}

/// How a language differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageDifference {
    /// The task.
    pub task: String,
    /// The language; empty if the task knows none.
    pub language: String,
    /// Score of the first run.
    pub first: f64,
    /// Score of the second.
    pub second: f64,
    /// By how much the second is better.
    pub difference: f64,
    /// Examples that both have answered.
    pub n: usize,
    /// How likely a difference of the samples' scores that is as large in either direction would be
    /// if it made none which run a sample is from: paired approximate randomisation with 10 000
    /// trials.
    pub p: f64,
}

/// How the second run differs from the first, language by language.
///
/// # Errors
///
/// [`RunError::NothingInCommon`].
pub fn compare(
    (first, first_samples): (&Results, &[Sample]),
    (second, second_samples): (&Results, &[Sample]),
    seed: u64,
) -> Result<Comparison, RunError> {
    let (first_scores, second_scores) = (by_place(first_samples), by_place(second_samples));
    let mut languages = Vec::new();
    for task in &first.tasks {
        let Some(other) = second.tasks.iter().find(|other| other.task == task.task) else {
            continue;
        };
        for language in &task.languages {
            let same = |other: &&super::LanguageScore| other.language == language.language;
            let Some(other) = other.languages.iter().find(same) else {
                continue;
            };
            let at = |index| (&*task.task, &*language.language, index);
            let own = first_scores.range(at(0)..=at(usize::MAX));
            let pairs = own.filter_map(|(place, a)| Some(second_scores.get(place)? - a));
            let differences: Vec<f64> = pairs.collect();
            languages.push(LanguageDifference {
                task: task.task.clone(),
                language: language.language.clone(),
                first: language.score,
                second: other.score,
                difference: other.score - language.score,
                n: differences.len(),
                p: randomised(&differences, seed),
            });
        }
    }
    if languages.is_empty() {
        return Err(RunError::NothingInCommon);
    }
    let count = |holds: &dyn Fn(&LanguageDifference) -> bool| {
        languages.iter().filter(|language| holds(language)).count()
    };
    let mean = languages
        .iter()
        .map(|language| language.difference)
        .sum::<f64>();
    Ok(Comparison {
        wins: count(&|language| language.difference > 0.0),
        significant_wins: count(&|language| language.difference > 0.0 && language.p < LEVEL),
        losses: count(&|language| language.difference < 0.0),
        significant_losses: count(&|language| language.difference < 0.0 && language.p < LEVEL),
        mean_difference: mean / languages.len() as f64,
        languages,
    })
}

type Place<'a> = (&'a str, &'a str, usize);

fn by_place(samples: &[Sample]) -> BTreeMap<Place<'_>, f64> {
    let mut scores = BTreeMap::new();
    for sample in samples {
        let place = (&*sample.task, &*sample.language, sample.index);
        scores.insert(place, sample.score);
    }
    scores
}

/// The share of random signs that make the sum as large as it is; never 0, since the signs found are
/// one of the possible draws.
fn randomised(differences: &[f64], seed: u64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let found = differences.iter().sum::<f64>().abs();
    // Sums of the same numbers in another order differ in their last digits.
    let threshold = found - 1e-9 * found.max(1.0);
    let as_large = (0..TRIALS).filter(|_| {
        let signed = differences
            .iter()
            .map(|difference| match random.random::<bool>() {
                true => *difference,
                false => -difference,
            });
        signed.sum::<f64>().abs() >= threshold
    });
    (1 + as_large.count()) as f64 / (1 + TRIALS) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_everywhere_is_no_chance() {
        assert!(randomised(&[5.0; 20], 0) < 0.001);
        assert!(randomised(&[5.0, -5.0, 5.0, -5.0], 0) > 0.9);
        assert_eq!(randomised(&[0.0; 20], 0), 1.0);
        // Three of three coins: two of eight draws are as large.
        assert!((randomised(&[1.0; 3], 0) - 0.25).abs() < 0.02);
    }
}
