//! Comparison of two runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::score::counted;
use super::{Results, RunError, Sample};
use crate::significance::{PairedDifference, difference};
use crate::tasks::TaskMetric;

/// Trials of the randomisation test.
const TRIALS: usize = 10_000;

/// Resamples of the bootstrap.
const RESAMPLES: usize = 1000;

/// Largest significant p-value.
const LEVEL: f64 = 0.05;

/// Differences between two runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Differences per task and language that both have, in the order of the first run.
    pub languages: Vec<LanguageDifference>,
    /// Languages in which the second is better.
    pub wins: usize,
    /// Languages in which it is significantly better.
    pub significant_wins: usize,
    /// Languages in which it is worse.
    pub losses: usize,
    /// Languages in which it is significantly worse.
    pub significant_losses: usize,
    /// Mean of the differences.
    pub mean_difference: f64,
}

/// Difference in a language, on the examples that both runs have answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LanguageDifference {
    /// The task.
    pub task: String,
    /// The language; empty if the task has none.
    pub language: String,
    /// Score of the first run, of these examples together.
    pub first: f64,
    /// Score of the second.
    pub second: f64,
    /// Score of the second minus that of the first.
    pub difference: f64,
    /// Interval that holds 95 % of the differences of 1000 resamples (paired bootstrap).
    pub interval_95: [f64; 2],
    /// Number of examples.
    pub n: usize,
    /// Chance of a difference at least as large, in either direction, between equal runs: paired
    /// approximate randomisation of the score with 10 000 trials.
    pub p: f64,
}

/// Compares the second run with the first, language by language.
///
/// # Errors
///
/// [`RunError::NothingInCommon`], or [`RunError::Score`] if a sample has nothing to be scored
/// against.
pub fn compare(
    (first, first_samples): (&Results, &[Sample]),
    (second, second_samples): (&Results, &[Sample]),
    seed: u64,
) -> Result<Comparison, RunError> {
    let (first_samples, second_samples) = (by_place(first_samples), by_place(second_samples));
    let mut languages = Vec::new();
    for task in &first.tasks {
        let is_same =
            |other: &super::TaskResults| other.task == task.task && other.metric == task.metric;
        if !second.tasks.iter().any(is_same) {
            continue;
        }
        for language in &task.languages {
            let at = |index| (&*task.task, &*language.language, index);
            let own = first_samples.range(at(0)..=at(usize::MAX));
            let (own, others): (Vec<&Sample>, Vec<&Sample>) = own
                .filter_map(|(place, sample)| Some((*sample, *second_samples.get(place)?)))
                .unzip();
            if own.is_empty() {
                continue;
            }
            let found = differ(task.metric, &own, &others, seed)
                .map_err(|source| RunError::score(&task.task, source))?;
            languages.push(LanguageDifference {
                task: task.task.clone(),
                language: language.language.clone(),
                first: found.baseline,
                second: found.system,
                difference: found.system - found.baseline,
                interval_95: found.interval_95,
                n: own.len(),
                p: found.p_value,
            });
        }
    }
    match languages.is_empty() {
        true => Err(RunError::NothingInCommon),
        false => Ok(Comparison::of(languages)),
    }
}

fn differ(
    kind: TaskMetric,
    first: &[&Sample],
    second: &[&Sample],
    seed: u64,
) -> Result<PairedDifference, crate::ScoreError> {
    let metric = kind.of_all();
    let [first, second] = [first, second].map(|samples| counted(kind, &*metric, samples));
    difference(&first?, &second?, TRIALS, RESAMPLES, seed)
}

impl Comparison {
    fn of(languages: Vec<LanguageDifference>) -> Self {
        let count = |holds: &dyn Fn(&LanguageDifference) -> bool| {
            languages.iter().filter(|language| holds(language)).count()
        };
        let differences = languages.iter().map(|language| language.difference);
        Self {
            wins: count(&|language| language.difference > 0.0),
            significant_wins: count(&|language| language.difference > 0.0 && language.p < LEVEL),
            losses: count(&|language| language.difference < 0.0),
            significant_losses: count(&|language| language.difference < 0.0 && language.p < LEVEL),
            mean_difference: differences.sum::<f64>() / languages.len() as f64,
            languages,
        }
    }
}

type Place<'a> = (&'a str, &'a str, usize);

fn by_place(samples: &[Sample]) -> BTreeMap<Place<'_>, &Sample> {
    let places = samples.iter().map(|sample| {
        let place = (&*sample.task, &*sample.language, sample.index);
        (place, sample)
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::run::{Description, RunTask};
    use crate::tasks::Task;
    use crate::{Bleu, Chrf, Statistics};

    fn reference(index: usize) -> String {
        format!("sentence {index} has a number and some words")
    }

    /// A run over these examples, of which the first `wrong` of every ten answers miss a half.
    fn run(metric: TaskMetric, examples: usize, wrong: usize) -> (Results, Vec<Sample>) {
        let mut task = Task::named("flores-v1").unwrap();
        task.score.metric = metric;
        let sample = |index: usize| {
            let answer = match index % 10 < wrong {
                true => format!("sentence {index} has"),
                false => reference(index),
            };
            Sample {
                task: task.name.clone(),
                language: "ne".to_owned(),
                index,
                prompt: String::new(),
                cut_tokens: 0,
                output: answer.clone(),
                stopped: true,
                answer,
                reference: reference(index),
                score: 0.0,
                verdict: None,
                record: Map::new(),
            }
        };
        let samples: Vec<Sample> = (0..examples).map(sample).collect();
        let task = RunTask::new(task, &[]);
        let description = Description::new(vec![task], json!(null), None, Vec::new());
        let results = Results::of(&description, &samples, 0).unwrap();
        (results, samples)
    }

    fn compared(a: &(Results, Vec<Sample>), b: &(Results, Vec<Sample>)) -> Comparison {
        compare((&a.0, &a.1), (&b.0, &b.1), 1).unwrap()
    }

    #[test]
    fn scores_of_corpora_are_tested_as_such() {
        for (kind, metric) in [
            (
                TaskMetric::Chrf1,
                Box::new(Chrf::chrf1()) as Box<dyn crate::Metric>,
            ),
            (TaskMetric::Bleu, Box::new(Bleu::default())),
        ] {
            let (first, second) = (run(kind, 60, 5), run(kind, 50, 2));
            let found = compared(&first, &second);
            let language = &found.languages[0];
            // Of the examples that both have.
            assert_eq!(language.n, 50);
            let answers: Vec<&str> = first.1[..50].iter().map(|sample| &*sample.answer).collect();
            let references = vec![(0..50).map(reference).collect()];
            let expected = Statistics::of(&*metric, &answers, &references).unwrap();
            assert_eq!(language.first, expected.corpus());
            assert_eq!(language.second, second.0.tasks[0].score);
            assert!(language.p < 0.01, "{language:?}");
            let [low, high] = language.interval_95;
            assert!(0.0 < low && low < language.difference && language.difference < high);
            assert_eq!((found.significant_wins, found.losses), (1, 0));
        }
    }

    #[test]
    fn runs_that_are_alike_do_not_differ() {
        let run = run(TaskMetric::Chrf1, 20, 3);
        let found = compared(&run, &run);
        assert_eq!(found.languages[0].p, 1.0);
        assert_eq!((found.wins, found.losses), (0, 0));
    }

    #[test]
    fn other_metrics_are_not_compared() {
        let (first, second) = (run(TaskMetric::Chrf1, 5, 1), run(TaskMetric::Chrf2, 5, 1));
        let found = compare((&first.0, &first.1), (&second.0, &second.1), 0);
        assert!(matches!(found, Err(RunError::NothingInCommon)));
    }
}
