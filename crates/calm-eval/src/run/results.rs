//! Scores of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::directory::{Description, RunTask, SCHEMA};
use super::score::counted;
use super::{RunError, Sample};
use crate::Estimate;
use crate::tasks::{Task, TaskMetric};
use calm_sandbox::Layers;

/// Scores of a run, and all that they depend on. docs/evaluation.md describes every field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Results {
    /// Layout version of this file.
    pub schema: u32,
    /// Version of the program.
    pub version: String,
    /// Commit of the program, if known.
    pub commit: Option<String>,
    /// The model: its name and hashes.
    pub model: Value,
    /// Seed of everything random; decoding is greedy.
    pub seed: u64,
    /// Largest number of examples of each language.
    pub limit: Option<usize>,
    /// Results per task.
    pub tasks: Vec<TaskResults>,
    /// Layers around generated programs; null if none were run.
    #[serde(rename = "cage")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::Layers>"))]
    pub sandbox: Option<Layers>,
    /// Version of the Python that ran them.
    pub python: Option<String>,
}

/// The scores of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskResults {
    /// Its name.
    pub task: String,
    /// Its version.
    pub task_version: u32,
    /// [`Task::sha256`].
    pub task_sha256: String,
    /// Hash of every prompt and reference.
    pub prompts_sha256: String,
    /// Number of worked examples.
    pub shots: usize,
    /// Metric of the scores.
    pub metric: TaskMetric,
    /// Settings of the metric, in sacreBLEU's form.
    pub signature: String,
    /// Number of scored examples.
    pub n: usize,
    /// Mean over languages.
    pub score: f64,
    /// Scores per language.
    pub languages: Vec<LanguageScore>,
    /// Scores per group of languages.
    pub groups: Vec<GroupScore>,
}

/// The score of a language.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LanguageScore {
    /// The language; empty if the task has none.
    pub language: String,
    /// Number of examples.
    pub n: usize,
    /// Score of all answers together, from 0 to 100.
    pub score: f64,
    /// Its 95 % interval, see [`Estimate`]; none where the examples tell nothing of one.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Vec<f64>>"))]
    pub interval_95: Option<[f64; 2]>,
    /// Standard error of the mean of the samples' own scores.
    pub standard_error: f64,
    /// Examples whose prompt lost its beginning.
    #[serde(default)]
    pub truncated: usize,
}

/// The mean score of a group of languages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupScore {
    /// Its name.
    pub group: String,
    /// Number of its languages that were scored.
    pub languages: usize,
    /// Languages that were not scored.
    pub missing: Vec<String>,
    /// Mean over the scored languages.
    pub score: f64,
}

impl LanguageScore {
    /// The score with its interval.
    pub fn estimate(&self) -> Estimate {
        Estimate {
            score: self.score,
            interval_95: self.interval_95,
        }
    }
}

impl Results {
    /// Scores these samples.
    ///
    /// # Errors
    ///
    /// [`RunError::Score`] if one of them has nothing to be scored against.
    pub fn of(description: &Description, samples: &[Sample], seed: u64) -> Result<Self, RunError> {
        let tasks = description.tasks.iter();
        let tasks = tasks.map(|run| TaskResults::of(run, samples, seed));
        Ok(Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: None,
            model: description.model.clone(),
            seed,
            limit: description.limit,
            tasks: tasks.collect::<Result<_, _>>()?,
            sandbox: None,
            python: None,
        })
    }
}

impl TaskResults {
    fn of(run: &RunTask, samples: &[Sample], seed: u64) -> Result<Self, RunError> {
        let task = &run.task;
        let own = samples.iter().filter(|sample| sample.task == task.name);
        let languages = by_language(task, own, seed)?;
        let scores: Vec<f64> = languages.iter().map(|language| language.score).collect();
        let metric = task.score.metric;
        Ok(Self {
            task: task.name.clone(),
            task_version: task.version,
            task_sha256: run.sha256.clone(),
            prompts_sha256: run.prompts_sha256.clone(),
            shots: task.shots.as_ref().map_or(0, |shots| shots.count),
            metric,
            signature: metric.signature(),
            n: languages.iter().map(|language| language.n).sum(),
            score: mean(&scores),
            groups: groups(task, &languages),
            languages,
        })
    }
}

fn by_language<'a>(
    task: &Task,
    samples: impl Iterator<Item = &'a Sample>,
    seed: u64,
) -> Result<Vec<LanguageScore>, RunError> {
    let mut languages: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        languages.entry(&sample.language).or_default().push(sample);
    }
    let kind = task.score.metric;
    let metric = kind.of_all();
    let score = |(language, mut samples): (&str, Vec<&Sample>)| {
        // Samples are logged in the order in which they were generated.
        samples.sort_by_key(|sample| sample.index);
        let scores: Vec<f64> = samples.iter().map(|sample| sample.score).collect();
        let counted = counted(kind, &*metric, &samples);
        let estimate = counted.and_then(|counted| match kind.is_of_texts() {
            true => Estimate::of_texts(&counted, seed),
            false => Ok(Estimate::of_answers(&counted)),
        });
        let estimate = estimate.map_err(|source| RunError::score(&task.name, source))?;
        Ok(LanguageScore {
            language: language.to_owned(),
            n: samples.len(),
            score: estimate.score,
            interval_95: estimate.interval_95,
            standard_error: standard_error(&scores),
            truncated: samples
                .iter()
                .filter(|sample| sample.cut_tokens > 0)
                .count(),
        })
    };
    languages.into_iter().map(score).collect()
}

fn groups(task: &Task, languages: &[LanguageScore]) -> Vec<GroupScore> {
    let named = task.groups.values().flatten();
    let named: BTreeSet<&str> = named.map(String::as_str).collect();
    let group = |(group, members): (&String, &Vec<String>)| {
        let has_others = members.iter().any(|member| member == "*");
        let is_member = |language: &str| {
            members.iter().any(|member| member == language)
                || (has_others && !named.contains(language))
        };
        let scored: Vec<&LanguageScore> = languages
            .iter()
            .filter(|language| is_member(&language.language))
            .collect();
        let is_scored = |member: &str| scored.iter().any(|language| language.language == member);
        let missing = members
            .iter()
            .filter(|member| *member != "*" && !is_scored(member));
        let missing = missing.cloned().collect();
        let scores: Vec<f64> = scored.iter().map(|language| language.score).collect();
        (!scores.is_empty()).then(|| GroupScore {
            group: group.clone(),
            languages: scores.len(),
            missing,
            score: mean(&scores),
        })
    };
    task.groups.iter().filter_map(group).collect()
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

fn standard_error(scores: &[f64]) -> f64 {
    let (n, mean) = (scores.len() as f64, mean(scores));
    if scores.len() < 2 {
        return 0.0;
    }
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    (squares / (n - 1.0) / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(mean(&[0.0, 100.0, 100.0, 100.0]), 75.0);
        assert_eq!(standard_error(&[0.0, 100.0, 100.0, 100.0]), 25.0);
        assert_eq!(standard_error(&[100.0]), 0.0);
    }

    #[test]
    fn a_star_is_every_language_that_no_group_names() {
        let language = |language: &str, score| LanguageScore {
            language: language.to_owned(),
            n: 1,
            score,
            interval_95: None,
            standard_error: 0.0,
            truncated: 0,
        };
        let task = Task::named("gsm8k-translated").unwrap();
        let found = [
            language("de", 10.0),
            language("fr", 20.0),
            language("mni", 3.0),
        ];
        let groups = groups(&task, &found);
        let of = |name: &str| groups.iter().find(|group| group.group == name).unwrap();
        assert_eq!(
            (of("low_resource").languages, of("low_resource").score),
            (1, 3.0)
        );
        assert_eq!(
            (of("high_resource").languages, of("high_resource").score),
            (2, 15.0)
        );
        assert_eq!(of("high_resource").missing.len(), 9);
    }
}
