//! `calm eval --task`: models over benchmarks, and what their runs say of them.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calm_lm::eval::run::{
    Comparison, Decoding, Description, Results, RunDir, RunTask, Sample, Scorer, TooLong, compare,
};
use calm_lm::eval::tasks::{Subset, Task};
use calm_lm::sandbox::SandboxOptions;
use calm_lm::terminal::{Progress, interrupt};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::Common;
use crate::commands::model::{Model, ModelArgs, ScaleArgs};
use crate::commands::version;
use crate::failure::Failure;
use crate::report::{Report, table};

/// How tasks are run.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// Benchmark to evaluate on: one of --list, or the path of a task file; may be given several
    /// times
    #[arg(long = "task", value_name = "TASK", requires = "data")]
    pub(super) tasks: Vec<String>,
    /// Directory of the run, which goes on if it is there [default: runs/eval]
    #[arg(long, value_name = "DIR", requires = "tasks")]
    out: Option<PathBuf>,
    /// At most so many examples of each language
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// This language only; may be given several times
    #[arg(long = "language", value_name = "NAME")]
    languages: Vec<String>,
    /// So many worked examples before each, instead of what the task says
    #[arg(long, value_name = "N")]
    shots: Option<usize>,
    /// What is done with a prompt that has more tokens than the model can read
    #[arg(
        long,
        value_name = "POLICY",
        value_enum,
        default_value_t,
        requires = "tasks"
    )]
    too_long: Policy,
    /// Prompts that are decoded together
    #[arg(long, value_name = "N", default_value = "16", requires = "tasks")]
    batch: NonZeroUsize,
    #[command(flatten)]
    pub(super) cage: CageArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Policy {
    /// Nothing is evaluated
    #[default]
    Error,
    /// Its beginning is cut off, so that an answer has room; how many were cut is told
    Truncate,
}

impl From<Policy> for TooLong {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Error => Self::Error,
            Policy::Truncate => Self::Truncate,
        }
    }
}

/// Where generated programs are run.
#[derive(Debug, Args)]
pub(in crate::commands) struct CageArgs {
    /// The Python that runs generated programs [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Run generated programs even where nothing keeps them from doing what you may do
    #[arg(long)]
    unsafe_run_code: bool,
}

impl CageArgs {
    pub(super) fn options(&self) -> SandboxOptions {
        SandboxOptions {
            python: self.python.clone(),
            unsafe_run_code: self.unsafe_run_code,
            ..SandboxOptions::default()
        }
    }
}

/// The tasks that there are.
pub(super) fn list() -> Report {
    let tasks = Task::builtin();
    let rows: Vec<(&str, String)> = tasks
        .iter()
        .map(|task| (&*task.name, task.about.clone()))
        .collect();
    let listed = tasks.iter().map(|task| {
        json!({
            "task": task.name,
            "version": task.version,
            "sha256": task.sha256(),
            "about": task.about,
            "paper": task.paper,
        })
    });
    let listed: Vec<_> = listed.collect();
    Report::new(table(&rows), json!({ "tasks": listed }))
}

/// A task as it is, and its first prompt if there is data.
pub(super) fn show(name: &str, data: Option<&Path>, args: &TaskArgs) -> Result<Report, Failure> {
    let task = args.resolve(name)?;
    let item = match data {
        None => None,
        Some(data) => {
            let subsets = task.read(data, &args.languages, Some(1))?;
            subsets
                .into_iter()
                .next()
                .and_then(|subset| subset.items.into_iter().next())
        }
    };
    let text = match &item {
        Some(item) => item.prompt.clone() + "\n",
        None => toml::to_string(&task).map_err(|error| Failure::Io {
            origin: task.name.clone(),
            source: io::Error::other(error),
        })?,
    };
    let json = json!({
        "task": task,
        "sha256": task.sha256(),
        "prompt": item.as_ref().map(|item| &item.prompt),
        "reference": item.as_ref().map(|item| &item.reference),
    });
    Ok(Report::new(text, json))
}

impl TaskArgs {
    fn resolve(&self, name: &str) -> Result<Task, Failure> {
        let task = Task::named(name)?;
        Ok(match self.shots {
            Some(shots) => task.with_shots(shots),
            None => task,
        })
    }
}

/// Everything that is known before a model is loaded.
struct Work {
    description: Description,
    /// One per task.
    subsets: Vec<Vec<Subset>>,
}

impl Work {
    fn read(data: &Path, args: &TaskArgs) -> Result<Self, Failure> {
        let limit = args.limit.map(NonZeroUsize::get);
        let (mut tasks, mut subsets): (Vec<RunTask>, Vec<_>) = (Vec::new(), Vec::new());
        for name in &args.tasks {
            let task = args.resolve(name)?;
            if tasks.iter().any(|other| other.task.name == task.name) {
                let reason = format!("the task '{}' is given twice", task.name);
                return Err(Failure::flag("--task", reason));
            }
            let read = task.read(data, &args.languages, limit)?;
            tasks.push(RunTask::new(task, &read));
            subsets.push(read);
        }
        let model = json!(null);
        let mut description = Description::new(tasks, model, limit, args.languages.clone());
        description.too_long = args.too_long.into();
        Ok(Self {
            description,
            subsets,
        })
    }

    fn examples(&self) -> usize {
        let subsets = self.subsets.iter().flatten();
        subsets.map(|subset| subset.items.len()).sum()
    }
}

/// Answers what has no answer yet, and scores.
pub(super) fn run(
    model: &ModelArgs,
    scales: &ScaleArgs,
    data: &Path,
    args: &TaskArgs,
    common: &Common,
) -> Result<Report, Failure> {
    let device = common.device()?;
    let mut work = Work::read(data, args)?;
    let cage = args.cage.options();
    let tasks = work.description.tasks.clone();
    let scorers = tasks.iter().map(|run| Scorer::new(&run.task, &cage));
    let scorers: Vec<Scorer<'_>> = scorers.collect::<Result<_, _>>()?;
    let model = Model::load(model, scales, &device, common.quiet)?;
    work.description.model = model.identity()?;
    let decoding = Decoding {
        rows: args.batch.get(),
        too_long: work.description.too_long,
    };
    for (task, subsets) in tasks.iter().zip(&work.subsets) {
        let mut subsets = subsets.iter();
        subsets.try_for_each(|subset| model.check(decoding, &task.task, subset))?;
    }
    let out = args.out.clone().unwrap_or_else(|| "runs/eval".into());
    let mut run = RunDir::open(&out, &work.description)?;
    interrupt::listen();
    let total = work.examples();
    let mut progress = (!common.quiet).then(|| Progress::new("eval", total, run.done()));
    let mut done = run.done();
    let mut watch = |samples: &[Sample]| {
        done += samples.len();
        if let Some(progress) = &mut progress {
            progress.advance(done, "");
        }
        match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    for ((task, subsets), scorer) in tasks.iter().zip(&work.subsets).zip(&scorers) {
        for subset in subsets {
            let flow = model.answer(decoding, &task.task, subset, scorer, &mut run, &mut watch)?;
            if flow.is_break() {
                let done = run.done();
                return Err(Failure::Stopped { done, total });
            }
        }
    }
    let scored = scorers.iter().find_map(Scorer::sandbox);
    let mut results = Results::of(&work.description, &RunDir::samples(&out)?, common.seed)?;
    results.commit = version::commit().map(str::to_owned);
    results.sandbox = scored.map(|sandbox| sandbox.layers().clone());
    results.python = scored.map(|sandbox| sandbox.python_version().to_owned());
    RunDir::finish(&out, &results)?;
    report(&results)
}

/// Scores a run again, without any model.
pub(in crate::commands) fn again(
    samples: &Path,
    cage: &CageArgs,
    common: &Common,
) -> Result<Report, Failure> {
    let out = samples.parent().unwrap_or(Path::new("."));
    let description = RunDir::description(out)?;
    let cage = cage.options();
    let mut all = Vec::new();
    let logged = RunDir::samples_of(samples)?;
    for run in &description.tasks {
        let own = logged.iter().filter(|sample| sample.task == run.task.name);
        all.extend(Scorer::new(&run.task, &cage)?.again(own.cloned().collect())?);
    }
    report(&Results::of(&description, &all, common.seed)?)
}

fn report(results: &Results) -> Result<Report, Failure> {
    let mut rows = Vec::new();
    for task in &results.tasks {
        let metric = json!(task.metric);
        let metric = metric.as_str().unwrap_or_default().to_owned();
        for language in &task.languages {
            let name = format!("{} {}", task.task, language.language);
            let (score, error, n) = (language.score, language.standard_error, language.n);
            let cut = match language.truncated {
                0 => String::new(),
                cut => format!(", prompts cut: {cut}"),
            };
            let text = format!("{metric} {score:.1} ± {error:.1} (n = {n}{cut})");
            rows.push((name.trim_end().to_owned(), text));
        }
        for group in &task.groups {
            let name = format!("{} {}", task.task, group.group);
            let mut text = format!("{metric} {:.1}, mean of {}", group.score, group.languages);
            if !group.missing.is_empty() {
                text += &format!("; without {}", group.missing.join(" "));
            }
            rows.push((name, text));
        }
    }
    let json = serde_json::to_value(results).map_err(|error| Failure::Io {
        origin: "results".to_owned(),
        source: error.into(),
    })?;
    Ok(Report::new(table(&rows), json))
}

/// How the second run differs from the first.
pub(super) fn compared(runs: &[PathBuf], common: &Common) -> Result<Report, Failure> {
    let [first, second] = runs else {
        return Err(Failure::flag("--compare", "takes two runs"));
    };
    let read = |path: &PathBuf| -> Result<_, Failure> {
        Ok((RunDir::results(path)?, RunDir::samples(path)?))
    };
    let (first, second) = (read(first)?, read(second)?);
    let found = compare((&first.0, &first.1), (&second.0, &second.1), common.seed)?;
    let json = serde_json::to_value(&found).map_err(|error| Failure::Io {
        origin: "comparison".to_owned(),
        source: error.into(),
    })?;
    Ok(Report::new(text(&found), json))
}

fn text(found: &Comparison) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    for language in &found.languages {
        let name = format!("{} {}", language.task, language.language);
        let (first, second, p) = (language.first, language.second, language.p);
        let [low, high] = language.interval_95;
        let text = format!(
            "{first:.1} → {second:.1} ({:+.1}, 95 % {low:+.1} to {high:+.1}, p = {p:.4}, n = {})",
            language.difference, language.n
        );
        rows.push((name.trim_end().to_owned(), text));
    }
    let Comparison {
        wins,
        significant_wins,
        losses,
        significant_losses,
        mean_difference,
        ..
    } = found;
    let of = found.languages.len();
    let wins = format!("{wins} of {of}, {significant_wins} of them at p < 0.05");
    rows.push(("better".to_owned(), wins));
    let losses = format!("{losses} of {of}, {significant_losses} of them at p < 0.05");
    rows.push(("worse".to_owned(), losses));
    rows.push((
        "mean difference".to_owned(),
        format!("{mean_difference:+.1}"),
    ));
    table(&rows)
}
