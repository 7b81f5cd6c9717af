//! Tasks of an experiment, with their examples.

use std::collections::BTreeMap;
use std::path::PathBuf;

use calm_eval::run::{Evaluation, PromptOverflow, Selection};
use calm_eval::tasks::{
    DataSource, Format, Generation, GivenFile, Scoring, Task, TaskError, TaskMetric, Template,
};
use serde_json::Value;

use super::data::Data;
use super::key;
use crate::table::{PaperFigures, TaskFrame};
use crate::{Experiment, ExperimentError, TaskSpec};

/// Most tokens of an answer to a row of a file.
const MAX_NEW_TOKENS: usize = 128;
/// Prompts that are answered together.
const BATCH: usize = 16;

/// A task with its examples.
#[derive(Debug)]
pub struct PlannedTask {
    /// The task as the table presents it.
    pub frame: TaskFrame,
    /// Its examples.
    pub evaluation: Evaluation,
    /// Prompts that are answered together.
    pub rows: usize,
    /// Hash of everything that scores on it depend on.
    pub key: String,
}

/// Reads the examples of all tasks.
pub(super) fn plan(
    experiment: &Experiment,
    data: &Data<'_>,
) -> Result<Vec<PlannedTask>, ExperimentError> {
    let tasks = experiment.file.tasks.iter();
    tasks
        .map(|(id, _)| PlannedTask::read(experiment, data, id))
        .collect()
}

impl PlannedTask {
    fn read(experiment: &Experiment, data: &Data<'_>, id: &str) -> Result<Self, ExperimentError> {
        let spec = with_defaults(experiment, id)?;
        let (mut task, directory) = match (&spec.task, &spec.file) {
            (Some(name), None) => benchmark(experiment, data, id, &spec, name)?,
            (None, Some(file)) => rows_of_file(experiment, data, id, &spec, file)?,
            _ => {
                let reason = format!(
                    "task '{id}': give either `task`, a benchmark of `calm eval --list`, or `file`, \
                     a file of prompts and targets"
                );
                return Err(experiment.wrong(&["tasks", id], reason));
            }
        };
        task.name = id.to_owned();
        let (metric, order) = (task.score.metric, task.low_to_high.clone());
        let groups = groups(experiment, id, &spec, &task)?;
        let selection = Selection {
            limit: spec.limit,
            languages: spec.languages.clone(),
            too_long: PromptOverflow::Error,
        };
        let evaluation = Evaluation::read(vec![task], &directory, &selection);
        let evaluation = evaluation.map_err(|source| of_task(id, source))?;
        let languages = match (spec.languages.is_empty(), &evaluation.languages(0)[..]) {
            (false, _) => spec.languages.clone(),
            (true, [""]) => Vec::new(),
            (true, found) => ordered(found, &order),
        };
        let key = key::of(&evaluation.run_tasks());
        Ok(Self {
            rows: spec.batch.unwrap_or(BATCH).max(1),
            frame: frame(id, spec, metric, languages, groups),
            evaluation,
            key,
        })
    }
}

/// The task as the table presents it.
fn frame(
    id: &str,
    spec: TaskSpec,
    metric: TaskMetric,
    languages: Vec<String>,
    language_groups: BTreeMap<String, Vec<String>>,
) -> TaskFrame {
    let of_groups = spec.groups.0.into_iter().map(|(name, group)| {
        let figures = PaperFigures {
            scores: group.paper.0.into_iter().collect(),
            wins: group.paper_wins.0.into_iter().collect(),
        };
        (name, figures)
    });
    TaskFrame {
        id: id.to_owned(),
        title: spec.title.unwrap_or_else(|| id.to_owned()),
        group: spec.group,
        metric,
        tested: spec.tested.unwrap_or(true),
        languages,
        language_groups,
        paper: spec.paper.0.into_iter().collect(),
        paper_wins: spec.paper_wins.0.into_iter().collect(),
        paper_of_groups: of_groups.collect(),
        parts: spec.parts.0,
    }
}

/// The groups of languages of a benchmark, and those that the experiment adds to it.
fn groups(
    experiment: &Experiment,
    id: &str,
    spec: &TaskSpec,
    task: &Task,
) -> Result<BTreeMap<String, Vec<String>>, ExperimentError> {
    let mut groups = task.groups.clone();
    let of_spec = spec.groups.iter();
    let added = of_spec.filter(|(_, group)| !group.languages.is_empty());
    groups.extend(added.map(|(name, group)| (name.to_owned(), group.languages.clone())));
    let known: Vec<&str> = groups.keys().map(String::as_str).collect();
    for (name, _) in spec.groups.iter() {
        let keys = ["tasks", id, "groups", name];
        experiment.known(&keys, "group of languages", name, &known)?;
    }
    Ok(groups)
}

/// Languages from low to high resource, as the task has them; others behind, by name.
fn ordered(found: &[&str], low_to_high: &[String]) -> Vec<String> {
    let place = |language: &&str| low_to_high.iter().position(|one| one == language);
    let mut languages = found.to_vec();
    languages.sort_by_key(|language| place(language).unwrap_or(usize::MAX));
    languages.into_iter().map(str::to_owned).collect()
}

fn of_task(id: &str, source: TaskError) -> ExperimentError {
    ExperimentError::Task {
        task: id.to_owned(),
        source: Box::new(source),
    }
}

/// A task over the defaults of all tasks.
fn with_defaults(experiment: &Experiment, id: &str) -> Result<TaskSpec, ExperimentError> {
    let file = &experiment.file;
    let own = file.tasks.get(id).cloned().unwrap_or_default();
    let mut values = file.defaults.task.clone();
    let Ok(Value::Object(own)) = serde_json::to_value(&own) else {
        unreachable!("a task is a struct");
    };
    for (key, value) in own {
        // Parts and figures of the paper are added to those of the defaults.
        match (values.get_mut(&key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => below.extend(above),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
    let typed = serde_json::from_value(Value::Object(values));
    typed.map_err(|error| experiment.wrong(&["defaults", "task"], error.to_string()))
}

/// A benchmark of `calm eval`.
fn benchmark(
    experiment: &Experiment,
    data: &Data<'_>,
    id: &str,
    spec: &TaskSpec,
    name: &str,
) -> Result<(Task, PathBuf), ExperimentError> {
    let of_rows = [
        ("prompt", spec.prompt.is_some()),
        ("target", spec.target.is_some()),
        ("answer", spec.answer.is_some()),
        ("metric", spec.metric.is_some()),
    ];
    if let Some((key, _)) = of_rows.iter().find(|(_, is_given)| *is_given) {
        let reason = format!(
            "task '{id}': '{key}' is for a `file` of prompts and targets; the benchmark '{name}' \
             has its own"
        );
        return Err(experiment.wrong(&["tasks", id, key], reason));
    }
    let is_builtin = Task::builtin().iter().any(|task| task.name == name);
    let name = match is_builtin || !name.contains('/') {
        true => name.to_owned(),
        false => data
            .path(name, &["tasks", id, "task"])?
            .display()
            .to_string(),
    };
    let mut task = Task::named(&name).map_err(|source| of_task(id, source))?;
    if let Some(shots) = spec.shots {
        task = task
            .with_shots(shots)
            .map_err(|source| of_task(id, source))?;
    }
    if let Some(count) = spec.max_new_tokens {
        task.generation.max_new_tokens = count;
    }
    if !spec.stop_texts.is_empty() {
        task.generation.stop_texts.clone_from(&spec.stop_texts);
    }
    let Some(reference) = &spec.data else {
        let reason = format!("task '{id}': say in `data` where the benchmark's files are");
        return Err(experiment.wrong(&["tasks", id], reason));
    };
    let directory = data.path(reference, &["tasks", id, "data"])?;
    Ok((task, directory))
}

/// A task of the rows of a file.
fn rows_of_file(
    experiment: &Experiment,
    data: &Data<'_>,
    id: &str,
    spec: &TaskSpec,
    file: &str,
) -> Result<(Task, PathBuf), ExperimentError> {
    let path = data.path(file, &["tasks", id, "file"])?;
    let metric = spec.metric.unwrap_or(TaskMetric::ExactMatch);
    let of_benchmarks = [
        ("shots", spec.shots.is_some()),
        ("data", spec.data.is_some()),
        ("languages", !spec.languages.is_empty()),
        ("groups", !spec.groups.is_empty()),
    ];
    if let Some((key, _)) = of_benchmarks.iter().find(|(_, is_given)| *is_given) {
        let reason = format!("task '{id}': '{key}' is for a benchmark, and this is a `file`");
        return Err(experiment.wrong(&["tasks", id, key], reason));
    }
    if metric == TaskMetric::PassAt1 {
        let reason = format!(
            "task '{id}': pass@1 runs programs, which a task file describes; give it as `task`"
        );
        return Err(experiment.wrong(&["tasks", id, "metric"], reason));
    }
    let template = |own: &Option<String>, default: &str| {
        Template(own.clone().unwrap_or_else(|| default.to_owned()))
    };
    let given = GivenFile {
        path,
        language: String::new(),
    };
    let task = Task {
        layout: 1,
        name: id.to_owned(),
        version: 1,
        // Headings change no score.
        about: String::new(),
        paper: String::new(),
        data: DataSource {
            format: Format::Jsonl,
            file: Some("rows".to_owned()),
            fields: BTreeMap::new(),
            columns: Vec::new(),
            pointer: None,
            keep: None,
            except: Vec::new(),
            given: Some(given),
        },
        shots: None,
        prompt: template(&spec.prompt, "{{ prompt }}"),
        generation: Generation {
            max_new_tokens: spec.max_new_tokens.unwrap_or(MAX_NEW_TOKENS),
            stop_texts: spec.stop_texts.clone(),
        },
        score: Scoring {
            metric,
            answer: template(&spec.answer, "{{ output|trim }}"),
            reference: Some(template(&spec.target, "{{ target|trim }}")),
            program: None,
        },
        groups: BTreeMap::new(),
        low_to_high: Vec::new(),
    };
    Ok((task, PathBuf::new()))
}
