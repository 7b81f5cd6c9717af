//! Confidence of scores, and tests of whether two systems differ, with the formulas of sacreBLEU.
//!
//! The random generator is another one, so intervals and p-values agree with sacreBLEU's as those of
//! two of its seeds do, not digit for digit. A seed fixes all numbers on any number of cores: every
//! resample has its own stream.

mod holm;
mod swaps;
mod trials;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::metric::{ScoreError, Statistics, check_pair};

pub use holm::holm;
pub use trials::Trials;

/// Mean over resamples, and half the width of the interval that holds 95 % of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Confidence {
    /// The mean.
    pub mean: f64,
    /// Half the distance between the bounds.
    pub half_width: f64,
    /// The bounds.
    pub interval_95: [f64; 2],
}

/// Test of a system against a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedTest {
    /// Chance of such a difference between equal systems.
    pub p_value: f64,
    /// Confidence of the system's score.
    pub confidence: Confidence,
}

/// Difference between a system and a baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Score of the baseline.
    pub baseline: f64,
    /// Score of the system.
    pub system: f64,
    /// Chance of a difference at least as large, in either direction, between equal systems.
    pub p_value: f64,
    /// Interval that holds 95 % of the resamples' differences.
    pub interval_95: [f64; 2],
}

/// Confidence from `samples` corpora of the same size, drawn with replacement (Koehn, EMNLP 2004).
///
/// # Errors
///
/// [`ScoreError::Setting`] if `samples` is 0.
pub fn bootstrap(
    statistics: &Statistics<'_>,
    samples: usize,
    seed: u64,
) -> Result<Confidence, ScoreError> {
    Ok(confidence(&Trials::bootstrap(statistics, samples, seed)?))
}

/// Paired bootstrap test. Both systems are scored on the same resamples; the p-value is the share of
/// resamples whose absolute difference exceeds the mean one by more than the observed difference.
///
/// # Errors
///
/// [`ScoreError`] if `samples` is 0, or the systems have different numbers of sentences.
pub fn paired_bootstrap(
    baseline: &Statistics<'_>,
    system: &Statistics<'_>,
    samples: usize,
    seed: u64,
) -> Result<PairedTest, ScoreError> {
    check_pair(baseline, system)?;
    let scores = Trials::bootstrap(system, samples, seed)?;
    let differences = scores.minus(&Trials::bootstrap(baseline, samples, seed)?);
    let differences: Vec<f64> = differences.outcomes().iter().map(|d| d.abs()).collect();
    let mean = differences.iter().sum::<f64>() / samples as f64;
    let centred = differences.iter().map(|difference| difference - mean);
    Ok(PairedTest {
        p_value: p_value(centred, found_difference(baseline, system), samples),
        confidence: confidence(&scores),
    })
}

/// Paired approximate randomisation test (Riezler and Maxwell, 2005). A trial swaps the systems in
/// each sentence with probability one half; the p-value is the share of `trials` whose absolute
/// difference exceeds the observed one. The confidence is from `samples` of a bootstrap.
///
/// # Errors
///
/// [`ScoreError`] if `trials` or `samples` is 0, or the systems have different numbers of sentences.
pub fn paired_randomisation(
    baseline: &Statistics<'_>,
    system: &Statistics<'_>,
    trials: usize,
    samples: usize,
    seed: u64,
) -> Result<PairedTest, ScoreError> {
    let differences = Trials::randomised(baseline, system, trials, seed)?;
    let differences = differences.outcomes().iter().map(|d| d.abs());
    let found = found_difference(baseline, system);
    Ok(PairedTest {
        p_value: p_value(differences, found, trials),
        confidence: bootstrap(system, samples, seed)?,
    })
}

/// Difference of two systems on the same sentences, with the p-value of the randomisation and the
/// interval of the paired bootstrap.
///
/// Unlike sacreBLEU's, the p-value also counts trials that differ exactly as much as the systems.
/// These are many if answers are right or wrong; without them, equal systems would seem to differ.
///
/// # Errors
///
/// As [`paired_randomisation`].
pub fn difference(
    baseline: &Statistics<'_>,
    system: &Statistics<'_>,
    trials: usize,
    samples: usize,
    seed: u64,
) -> Result<PairedDifference, ScoreError> {
    let randomised = Trials::randomised(baseline, system, trials, seed)?;
    let resamples = Trials::bootstrap(system, samples, seed)?;
    let resamples = resamples.minus(&Trials::bootstrap(baseline, samples, seed)?);
    let (baseline, system) = (baseline.corpus(), system.corpus());
    Ok(PairedDifference {
        baseline,
        system,
        p_value: randomised.p_value(system - baseline),
        interval_95: resamples.interval_95(),
    })
}

/// Random generator of one resample.
fn stream(seed: u64, sample: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(sample as u64);
    random
}

fn found_difference(baseline: &Statistics<'_>, system: &Statistics<'_>) -> f64 {
    (baseline.corpus() - system.corpus()).abs()
}

/// Counts larger differences only: a system does not differ from itself by chance.
fn p_value(differences: impl Iterator<Item = f64>, found: f64, samples: usize) -> f64 {
    let larger = differences.filter(|&difference| difference > found).count();
    (larger + 1) as f64 / (samples + 1) as f64
}

fn confidence(scores: &Trials) -> Confidence {
    let [low, high] = scores.interval_95();
    let scores = scores.outcomes();
    Confidence {
        mean: scores.iter().sum::<f64>() / scores.len() as f64,
        half_width: (high - low) / 2.0,
        interval_95: [low, high],
    }
}

fn check_samples(samples: usize) -> Result<(), ScoreError> {
    if samples > 0 {
        return Ok(());
    }
    Err(ScoreError::Setting {
        setting: "the number of resamples",
        found: samples.to_string(),
        expected: "1 or more",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chrf;

    /// `wrong` of every ten sentences miss a half, beginning with this one.
    fn system(first: usize, wrong: usize) -> Vec<String> {
        let sentence = |i: usize| match (i + first) % 10 < wrong {
            true => format!("sentence {i}"),
            false => reference(i),
        };
        (0..200).map(sentence).collect()
    }

    fn reference(i: usize) -> String {
        format!("sentence {i} has a number")
    }

    fn compare(a: &[String], b: &[String]) -> [PairedTest; 2] {
        let chrf = Chrf::chrf2();
        let references = [(0..200).map(reference).collect()];
        let [a, b] = [a, b].map(|texts| Statistics::of(&chrf, texts, &references).unwrap());
        [
            paired_bootstrap(&a, &b, 500, 1).unwrap(),
            paired_randomisation(&a, &b, 500, 500, 1).unwrap(),
        ]
    }

    #[test]
    fn a_planted_difference_is_found() {
        for found in compare(&system(0, 5), &system(0, 1)) {
            assert!(found.p_value < 0.01, "{found:?}");
        }
    }

    #[test]
    fn no_difference_is_found_where_none_is() {
        for found in compare(&system(0, 3), &system(5, 3)) {
            assert!(found.p_value > 0.1, "{found:?}");
        }
        let [_, itself] = compare(&system(0, 3), &system(0, 3));
        assert_eq!(itself.p_value, 1.0 / 501.0, "no trial differs at all");
    }

    #[test]
    fn a_seed_fixes_all_numbers() {
        let (a, b) = (system(0, 3), system(2, 4));
        assert_eq!(compare(&a, &b), compare(&a, &b));
        let one = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        assert_eq!(one.install(|| compare(&a, &b)), compare(&a, &b));
    }

    /// Of ones and zeros.
    fn answers(baseline: &[u64], system: &[u64]) -> PairedDifference {
        let share = crate::AnswerMatch::Exact { lowercase: false };
        let [baseline, system] = [baseline, system].map(|right| {
            let rows = right.iter().flat_map(|&right| [right, 1]);
            Statistics::of_rows(&share, rows.collect())
        });
        difference(&baseline, &system, 10_000, 500, 0).unwrap()
    }

    #[test]
    fn a_difference_everywhere_is_no_chance() {
        let found = answers(&[0; 20], &[1; 20]);
        assert!(found.p_value < 0.001, "{found:?}");
        assert_eq!((found.baseline, found.system), (0.0, 100.0));
        assert_eq!(found.interval_95, [100.0, 100.0]);
        assert!(answers(&[0, 1, 0, 1], &[1, 0, 1, 0]).p_value > 0.9);
        let [same, itself] = [answers(&[0; 20], &[0; 20]), answers(&[1, 0, 1], &[1, 0, 1])];
        assert_eq!((same.p_value, itself.p_value), (1.0, 1.0));
        // Three of three coins: two of eight draws are as large.
        let found = answers(&[0; 3], &[1; 3]);
        assert!((found.p_value - 0.25).abs() < 0.02, "{found:?}");
    }

    #[test]
    fn the_interval_leaves_out_a_fortieth_at_each_end() {
        let scores = (0..1000).rev().map(f64::from).collect();
        let found = confidence(&Trials::of(scores));
        assert_eq!(
            (found.mean, found.half_width),
            (499.5, (974.0 - 25.0) / 2.0)
        );
    }
}
