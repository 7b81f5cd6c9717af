//! Scores over seeds, with their uncertainty over examples.

use calm_eval::significance::Trials;
use calm_eval::tasks::TaskMetric;
use calm_eval::{Proportion, ScoreError, Spread, Statistics};

use super::Score;
use super::evaluated::TableOptions;

/// Scores of a system on the examples of one language.
pub(super) struct LanguageScores {
    /// Examples.
    pub(super) n: usize,
    /// Score of every seed.
    pub(super) of_seeds: Vec<f64>,
    pub(super) uncertainty: Uncertainty,
}

/// What the examples of all seeds together tell of a score.
pub(super) enum Uncertainty {
    /// Right answers of all.
    Share(Proportion),
    /// Scores of resamples of the examples. Outputs of several seeds for an example stay together.
    Texts(Trials),
}

impl LanguageScores {
    /// Scores of the seeds' statistics, on the same examples. `number`: that of the language.
    pub(super) fn new(
        metric: TaskMetric,
        seeds: &[&Statistics<'_>],
        number: usize,
        options: &TableOptions,
    ) -> Result<Self, ScoreError> {
        let pooled = Statistics::pooled(seeds.iter().copied())?;
        let uncertainty = match metric.is_of_texts() {
            true => {
                let seed = seed_of(number, options);
                Uncertainty::Texts(Trials::bootstrap(&pooled, options.resamples, seed)?)
            }
            false => {
                let sums = pooled.sums(0..pooled.len());
                let [hits, n] = [sums[0], sums[1]].map(|count| count as usize);
                Uncertainty::Share(Proportion { hits, n })
            }
        };
        Ok(Self {
            n: pooled.len(),
            of_seeds: seeds.iter().map(|seed| seed.corpus()).collect(),
            uncertainty,
        })
    }
}

/// Seed of the draws in a language: those of two languages are independent.
pub(super) fn seed_of(language: usize, options: &TableOptions) -> u64 {
    options.seed.wrapping_add(language as u64)
}

/// The mean over languages; none if there is none.
pub(super) fn mean_score(languages: &[&LanguageScores]) -> Option<Score> {
    let seeds = languages.first()?.of_seeds.len();
    let of_seed = |seed: usize| {
        let scores = languages.iter().map(|language| language.of_seeds[seed]);
        scores.sum::<f64>() / languages.len() as f64
    };
    let figures: Vec<f64> = (0..seeds).map(of_seed).collect();
    Some(Score {
        spread: Spread::of(&figures)?,
        interval_95: interval(languages),
        n: languages.iter().map(|language| language.n).sum(),
    })
}

/// 95 % interval of the mean over languages; none where the examples tell nothing of one.
fn interval(languages: &[&LanguageScores]) -> Option<[f64; 2]> {
    let (mut shares, mut texts) = (Vec::new(), Vec::new());
    for language in languages {
        match &language.uncertainty {
            Uncertainty::Share(share) => shares.push(*share),
            Uncertainty::Texts(trials) => texts.push(trials),
        }
    }
    match Trials::mean(texts) {
        Some(trials) => Some(trials.interval_95()).filter(|[low, high]| low < high),
        None => Some(Proportion::interval_of_mean(&shares)),
    }
}
