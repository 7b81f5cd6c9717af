//! All evaluations of a task, on the same examples.

use std::collections::BTreeMap;

use calm_eval::run::{Sample, TaskResults, counted};
use calm_eval::{Metric, Statistics};
use rayon::prelude::*;

use super::evaluated::{Evaluated, TableOptions};
use super::scores::{LanguageScores, mean_score};
use super::{Cell, Frame, SeedResult, TableError, TaskFrame};

/// Largest difference of a score that was computed twice.
const TOLERANCE: f64 = 1e-6;

/// All evaluations of a task.
pub(super) struct Measured<'a> {
    pub(super) frame: &'a TaskFrame,
    /// Languages in the order of the frame, and then those that it does not name.
    pub(super) languages: Vec<&'a str>,
    /// In the order of the frame; none for a system that was not evaluated.
    pub(super) systems: Vec<Option<MeasuredSystem<'a>>>,
}

/// All evaluations of a system on a task.
pub(super) struct MeasuredSystem<'a> {
    /// By seed.
    pub(super) seeds: Vec<MeasuredSeed<'a>>,
    /// By language.
    pub(super) scores: Vec<LanguageScores>,
}

/// An evaluation.
pub(super) struct MeasuredSeed<'a> {
    pub(super) evaluated: &'a Evaluated,
    pub(super) results: &'a TaskResults,
    /// By language, each in the order of the examples.
    pub(super) samples: Vec<Vec<&'a Sample>>,
    /// Statistics of these.
    pub(super) counted: Vec<Statistics<'a>>,
}

impl<'a> Measured<'a> {
    /// Puts the evaluations of a task in order, and checks that they belong together.
    pub(super) fn new(
        frame: &'a Frame,
        task: &'a TaskFrame,
        metric: &'a dyn Metric,
        evaluated: &'a [Evaluated],
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        let own: Vec<&Evaluated> = evaluated.iter().filter(|e| e.task == task.id).collect();
        let Some(first) = own.first() else {
            return Ok(Self {
                frame: task,
                languages: Vec::new(),
                systems: frame.systems.iter().map(|_| None).collect(),
            });
        };
        let first_results = results(task, first)?;
        let languages = languages(task, first_results);
        let seeds = own.par_iter().map(|evaluated| {
            let results = results(task, evaluated)?;
            comparable(task, (first, first_results), (evaluated, results))?;
            MeasuredSeed::new(task, metric, evaluated, results, &languages)
        });
        let mut of_system: BTreeMap<&str, Vec<MeasuredSeed<'a>>> = BTreeMap::new();
        for seed in seeds.collect::<Vec<Result<_, TableError>>>() {
            let seed = seed?;
            of_system
                .entry(&seed.evaluated.system)
                .or_default()
                .push(seed);
        }
        let systems = frame.systems.iter();
        let systems = systems.map(|system| {
            let seeds = of_system.remove(&*system.id);
            let measured = seeds.map(|seeds| MeasuredSystem::new(task, seeds, options));
            measured.transpose()
        });
        Ok(Self {
            frame: task,
            systems: systems.collect::<Result<_, _>>()?,
            languages,
        })
    }

    /// Names of the languages; none if the task has none.
    pub(super) fn names(&self) -> Vec<String> {
        match self.languages[..] {
            [""] => Vec::new(),
            _ => self
                .languages
                .iter()
                .map(|name| (*name).to_owned())
                .collect(),
        }
    }

    /// The number of every language, and its examples as the first system has them.
    pub(super) fn examples(&self) -> impl Iterator<Item = (usize, &[&'a Sample])> {
        let first = self.systems.iter().flatten().next();
        let samples = first
            .into_iter()
            .flat_map(|system| &system.seeds[0].samples);
        samples.map(Vec::as_slice).enumerate()
    }

    /// The cell of a system.
    pub(super) fn cell(&self, number: usize, system: &str) -> Option<Cell> {
        let measured = self.systems[number].as_ref()?;
        let results = measured.seeds[0].results;
        let names = self.languages.iter().map(|name| (*name).to_owned());
        let scores = measured.scores.iter();
        Some(Cell {
            system: system.to_owned(),
            task: self.frame.id.clone(),
            score: mean_score(&measured.scores.iter().collect::<Vec<_>>())?,
            languages: names
                .zip(scores)
                .filter_map(|(name, language)| Some((name, mean_score(&[language])?)))
                .collect(),
            groups: self.group_scores(&measured.scores),
            seeds: measured
                .seeds
                .iter()
                .map(|seed| seed.result(&self.names()))
                .collect(),
            signature: results.signature.clone(),
            prompts_sha256: results.prompts_sha256.clone(),
        })
    }

    /// Groups of languages, each with the numbers of its languages. `*` stands for all that no group
    /// names; a group of none is left out.
    pub(super) fn groups(&self) -> Vec<(&'a str, Vec<usize>)> {
        let groups = &self.frame.language_groups;
        let is_named = |language: &str| groups.values().flatten().any(|name| name == language);
        let group = |(group, members): (&'a String, &'a Vec<String>)| {
            let is_member = |language: &str| {
                members.iter().any(|member| match member.as_str() {
                    "*" => !is_named(language),
                    member => member == language,
                })
            };
            let numbers = (0..self.languages.len()).filter(|one| is_member(self.languages[*one]));
            let numbers: Vec<usize> = numbers.collect();
            (!numbers.is_empty()).then_some((&**group, numbers))
        };
        groups.iter().filter_map(group).collect()
    }

    /// Means over groups of languages.
    fn group_scores(&self, scores: &[LanguageScores]) -> Vec<(String, super::Score)> {
        let groups = self.groups().into_iter();
        let scored = groups.filter_map(|(group, numbers)| {
            let of: Vec<&LanguageScores> = numbers.iter().map(|number| &scores[*number]).collect();
            Some((group.to_owned(), mean_score(&of)?))
        });
        scored.collect()
    }
}

impl<'a> MeasuredSystem<'a> {
    fn new(
        task: &TaskFrame,
        mut seeds: Vec<MeasuredSeed<'a>>,
        options: &TableOptions,
    ) -> Result<Self, TableError> {
        seeds.sort_by_key(|seed| seed.evaluated.seed);
        for pair in seeds.windows(2) {
            let [first, second] = [&pair[0], &pair[1]].map(|seed| seed.evaluated);
            if first.seed == second.seed {
                return Err(TableError::Twice {
                    system: first.system.clone(),
                    task: task.id.clone(),
                    seed: match first.seed {
                        Some(seed) => format!("seed {seed}"),
                        None => "which has no seed".to_owned(),
                    },
                    first: first.directory.clone(),
                    second: second.directory.clone(),
                });
            }
        }
        let languages = (0..seeds[0].counted.len()).into_par_iter();
        let scores = languages.map(|language| {
            let of_seeds: Vec<&Statistics<'_>> =
                seeds.iter().map(|seed| &seed.counted[language]).collect();
            LanguageScores::new(task.metric, &of_seeds, language, options)
        });
        let scores = scores.collect::<Result<_, _>>();
        let scores = scores.map_err(|source| seeds[0].score_error(task, source))?;
        Ok(Self { seeds, scores })
    }

    /// Statistics of a language, of all seeds together.
    pub(super) fn pooled(&self, language: usize) -> Statistics<'a> {
        let seeds = self.seeds.iter().map(|seed| &seed.counted[language]);
        Statistics::pooled(seeds).expect("every seed has the same examples")
    }
}

impl<'a> MeasuredSeed<'a> {
    fn new(
        task: &TaskFrame,
        metric: &'a dyn Metric,
        evaluated: &'a Evaluated,
        results: &'a TaskResults,
        languages: &[&str],
    ) -> Result<Self, TableError> {
        let mut by_language: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in &evaluated.samples {
            if sample.task == results.task {
                by_language
                    .entry(&sample.language)
                    .or_default()
                    .push(sample);
            }
        }
        let mut samples: Vec<Vec<&Sample>> = Vec::new();
        for language in languages {
            samples.push(by_language.remove(language).unwrap_or_default());
        }
        samples
            .iter_mut()
            .for_each(|samples| samples.sort_by_key(|sample| sample.index));
        let counted = samples
            .iter()
            .map(|samples| counted(task.metric, metric, samples));
        let counted: Result<Vec<_>, _> = counted.collect();
        let seed = Self {
            evaluated,
            results,
            samples,
            counted: Vec::new(),
        };
        let counted = counted.map_err(|source| seed.score_error(task, source))?;
        let seed = Self { counted, ..seed };
        let problem = by_language.keys().next().map_or_else(
            || seed.problem(languages),
            |language| {
                Some(format!(
                    "there are samples of the language '{language}' without a score"
                ))
            },
        );
        match problem {
            None => Ok(seed),
            Some(reason) => Err(TableError::Samples {
                directory: evaluated.directory.clone(),
                task: task.id.clone(),
                reason,
            }),
        }
    }

    /// Contradiction of samples and results.
    fn problem(&self, languages: &[&str]) -> Option<String> {
        let samples = self.samples.iter().zip(&self.counted);
        languages
            .iter()
            .zip(samples)
            .find_map(|(language, (samples, counted))| {
                let score = self
                    .results
                    .languages
                    .iter()
                    .find(|score| score.language == *language)?;
                let of = match language.is_empty() {
                    true => String::new(),
                    false => format!(" of the language '{language}'"),
                };
                if let Some(pair) = samples
                    .windows(2)
                    .find(|pair| pair[0].index == pair[1].index)
                {
                    return Some(format!("example {}{of} is there twice", pair[0].index));
                }
                if samples.len() != score.n {
                    let (found, scored) = (samples.len(), score.n);
                    return Some(format!(
                        "{found} samples{of}, of which {scored} were scored"
                    ));
                }
                let found = counted.corpus();
                ((found - score.score).abs() > TOLERANCE).then(|| {
                    format!(
                        "the samples{of} score {found:.4}, and the results say {:.4}",
                        score.score
                    )
                })
            })
    }

    fn score_error(&self, task: &TaskFrame, source: calm_eval::ScoreError) -> TableError {
        TableError::Score {
            directory: self.evaluated.directory.clone(),
            task: task.id.clone(),
            source,
        }
    }

    fn result(&self, names: &[String]) -> SeedResult {
        let languages = names.iter().zip(&self.counted);
        SeedResult {
            seed: self.evaluated.seed,
            score: self.results.score,
            languages: languages
                .map(|(name, counted)| (name.clone(), counted.corpus()))
                .collect(),
            directory: self.evaluated.directory.clone(),
            seconds: self.evaluated.seconds,
            commit: self.evaluated.results.commit.clone(),
        }
    }
}

/// The results of a task: the only ones, or those of its name.
fn results<'a>(task: &TaskFrame, evaluated: &'a Evaluated) -> Result<&'a TaskResults, TableError> {
    let tasks = &evaluated.results.tasks;
    let named = || tasks.iter().find(|results| results.task == task.id);
    let found = match &tasks[..] {
        [only] => Some(only),
        _ => named(),
    };
    let directory = || evaluated.directory.clone();
    let Some(found) = found.filter(|found| found.n > 0) else {
        let names: Vec<&str> = tasks.iter().map(|results| &*results.task).collect();
        return Err(TableError::NoTask {
            directory: directory(),
            task: task.id.clone(),
            found: names.join(", "),
        });
    };
    match found.metric == task.metric {
        true => Ok(found),
        false => Err(TableError::Metric {
            directory: directory(),
            task: task.id.clone(),
            found: found.signature.clone(),
            expected: task.metric.signature(),
        }),
    }
}

/// Checks that two evaluations have the same examples, and scores of one kind.
fn comparable(
    task: &TaskFrame,
    (first, of_first): (&Evaluated, &TaskResults),
    (second, of_second): (&Evaluated, &TaskResults),
) -> Result<(), TableError> {
    let names = |results: &TaskResults| -> Vec<(String, usize)> {
        let languages = results.languages.iter();
        languages
            .map(|score| (score.language.clone(), score.n))
            .collect()
    };
    let rules = [
        ("versions", of_first.task_version == of_second.task_version),
        (
            "examples (prompts_sha256)",
            of_first.prompts_sha256 == of_second.prompts_sha256,
        ),
        (
            "settings of the metric",
            of_first.signature == of_second.signature,
        ),
        ("numbers of examples", names(of_first) == names(of_second)),
    ];
    match rules.into_iter().find(|(_, holds)| !holds) {
        None => Ok(()),
        Some((differs, _)) => Err(TableError::NotComparable {
            task: task.id.clone(),
            differs,
            first: first.directory.clone(),
            second: second.directory.clone(),
        }),
    }
}

/// Languages in the order of the frame, and then those that it does not name.
fn languages<'a>(task: &'a TaskFrame, results: &'a TaskResults) -> Vec<&'a str> {
    let scored = || results.languages.iter().map(|score| &*score.language);
    let named = task.languages.iter().map(String::as_str);
    let mut languages: Vec<&str> = named
        .filter(|name| scored().any(|other| other == *name))
        .collect();
    for language in scored() {
        if !languages.contains(&language) {
            languages.push(language);
        }
    }
    languages
}
