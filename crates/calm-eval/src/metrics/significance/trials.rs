//! Outcomes of random trials.

use rand::RngExt;
use rayon::prelude::*;

use super::super::metric::{ScoreError, Statistics};
use super::swaps::Swaps;
use super::{check_samples, stream};

/// Outcomes of random trials, one number for each, in their order.
///
/// Trials of the same seed and number of sentences draw the same, so that those of several systems
/// belong together one by one. Parts of a corpus that are tested together, such as its languages,
/// take a seed each: their draws are independent.
#[derive(Debug, Clone, PartialEq)]
pub struct Trials(Vec<f64>);

impl Trials {
    /// Scores of `samples` corpora of the same size, drawn from these sentences with replacement.
    ///
    /// # Errors
    ///
    /// [`ScoreError::Setting`] if `samples` is 0.
    pub fn bootstrap(
        statistics: &Statistics<'_>,
        samples: usize,
        seed: u64,
    ) -> Result<Self, ScoreError> {
        check_samples(samples)?;
        let count = statistics.len();
        let samples = (0..samples).into_par_iter().map(|sample| {
            let mut random = stream(seed, sample);
            statistics.subset((0..count).map(|_| random.random_range(0..count)))
        });
        Ok(Self(samples.collect()))
    }

    /// Differences of two systems, the second minus the first, that are swapped in every sentence
    /// with probability one half.
    ///
    /// # Errors
    ///
    /// [`ScoreError`] if `trials` is 0, or the systems have different numbers of sentences.
    pub fn randomised(
        baseline: &Statistics<'_>,
        system: &Statistics<'_>,
        trials: usize,
        seed: u64,
    ) -> Result<Self, ScoreError> {
        check_samples(trials)?;
        let swaps = Swaps::new(baseline, system)?;
        let trials = (0..trials).into_par_iter();
        let differences = trials.map_init(
            || swaps.buffer(),
            |buffer, trial| swaps.difference(buffer, &mut stream(seed, trial)),
        );
        Ok(Self(differences.collect()))
    }

    /// Trial by trial, the mean over some parts. None if there is no part.
    pub fn mean<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let mut sums = parts.next()?.0.clone();
        let mut count = 1;
        for part in parts {
            for (sum, outcome) in sums.iter_mut().zip(&part.0) {
                *sum += outcome;
            }
            count += 1;
        }
        sums.iter_mut().for_each(|sum| *sum /= f64::from(count));
        Some(Self(sums))
    }

    /// Trial by trial, the difference to others.
    #[must_use]
    pub fn minus(&self, others: &Self) -> Self {
        let pairs = self.0.iter().zip(&others.0);
        Self(pairs.map(|(outcome, other)| outcome - other).collect())
    }

    /// The numbers.
    pub fn outcomes(&self) -> &[f64] {
        &self.0
    }

    /// Share of the trials, the observation being one, whose outcome is at least as far from 0 as
    /// what was found.
    pub fn p_value(&self, found: f64) -> f64 {
        // Sums of the same numbers in another order differ in their last digits.
        let threshold = found.abs() - 1e-9 * found.abs().max(1.0);
        let as_large = self.0.iter().filter(|outcome| outcome.abs() >= threshold);
        (1 + as_large.count()) as f64 / (1 + self.0.len()) as f64
    }

    /// Interval that holds 95 % of the outcomes.
    pub fn interval_95(&self) -> [f64; 2] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let outside = sorted.len() / 40;
        [sorted[outside], sorted[sorted.len() - 1 - outside]]
    }

    #[cfg(test)]
    pub(super) fn of(outcomes: Vec<f64>) -> Self {
        Self(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_averaged_trial_by_trial() {
        let (one, two) = (Trials::of(vec![1.0, 2.0]), Trials::of(vec![3.0, -2.0]));
        assert_eq!(Trials::mean([&one, &two]), Some(Trials::of(vec![2.0, 0.0])));
        assert_eq!(Trials::mean([&one]), Some(one.clone()));
        assert_eq!(Trials::mean([]), None);
        assert_eq!(two.minus(&one), Trials::of(vec![2.0, -4.0]));
        // The observation, and the first: 3 and -2 are no less than 2 away from 0.
        assert_eq!(two.p_value(-2.0), 1.0);
        assert_eq!(two.p_value(2.5), 2.0 / 3.0);
        assert_eq!(two.p_value(9.0), 1.0 / 3.0);
    }
}
