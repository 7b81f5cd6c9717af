//! `calm eval --task`: benchmarks, and comparisons of their runs.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use calm_lm::eval::run::{
    Comparison, Decoding, Evaluation, EvaluationDirectory, PromptOverflow, Results, Selection,
    TaskResults, compare,
};
use calm_lm::eval::tasks::{Item, Task};
use calm_lm::sandbox::SandboxOptions;
use calm_lm::terminal::{Progress, interrupt};
use calm_lm::train::runs::commit;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use crate::cli::Common;
use crate::commands::load::LoadArgs;
use crate::commands::model::{Model, ModelArgs, ScaleArgs};
use crate::failure::Failure;
use crate::report::{Report, table};

/// Flags of tasks.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// Benchmark to evaluate on: one of --list, or the path of a task file; may be given several
    /// times
    #[arg(long = "task", value_name = "TASK", requires = "data")]
    pub(super) tasks: Vec<String>,
    /// Directory of the run; a run that is there is resumed [default: runs/eval]
    #[arg(long, value_name = "DIR", requires = "tasks")]
    out: Option<PathBuf>,
    /// Most examples of each language
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Evaluate this language only; may be given several times
    #[arg(long = "language", value_name = "NAME")]
    languages: Vec<String>,
    /// Number of worked examples before each prompt [default: as the task says]
    #[arg(long, value_name = "N")]
    shots: Option<usize>,
    /// Treatment of a prompt that has more tokens than the model can read
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
    pub(super) sandbox: SandboxArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Policy {
    /// Evaluate nothing
    #[default]
    Error,
    /// Cut off its beginning, so that an answer has room, and report how many were cut
    Truncate,
}

impl From<Policy> for PromptOverflow {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Error => Self::Error,
            Policy::Truncate => Self::Truncate,
        }
    }
}

/// Flags of generated programs.
#[derive(Debug, Args)]
pub(in crate::commands) struct SandboxArgs {
    /// The Python that runs generated programs [default: python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Run generated programs even without a sandbox, with all rights of the user
    #[arg(long)]
    unsafe_run_code: bool,
}

impl SandboxArgs {
    pub(super) fn options(&self) -> SandboxOptions {
        SandboxOptions {
            python: self.python.clone(),
            unsafe_run_code: self.unsafe_run_code,
            ..SandboxOptions::default()
        }
    }
}

#[derive(Serialize)]
struct ListedTask<'a> {
    task: &'a str,
    version: u32,
    sha256: String,
    about: &'a str,
    paper: &'a str,
}

/// All tasks of the program.
pub(super) fn list() -> Report {
    let tasks = Task::builtin();
    let listed = tasks.iter().map(|task| ListedTask {
        task: &task.name,
        version: task.version,
        sha256: task.sha256(),
        about: &task.about,
        paper: &task.paper,
    });
    let listed: Vec<ListedTask<'_>> = listed.collect();
    let rows = listed.iter().map(|task| (task.task, task.about.to_owned()));
    let text = table(&rows.collect::<Vec<_>>());
    Report::new(text, json!({ "tasks": listed }))
}

#[derive(Serialize)]
struct ShownTask {
    task: Task,
    sha256: String,
    prompt: Option<String>,
    reference: Option<String>,
}

/// A task as a file, or its first prompt if there is data.
pub(super) fn show(name: &str, data: Option<&Path>, args: &TaskArgs) -> Result<Report, Failure> {
    let task = args.resolve(name)?;
    let item: Option<Item> = match data {
        None => None,
        Some(data) => {
            let subsets = task.read(data, &args.languages, Some(1))?;
            subsets.into_iter().flat_map(|subset| subset.items).next()
        }
    };
    let text = match &item {
        Some(item) => item.prompt.clone() + "\n",
        None => toml::to_string(&task)
            .map_err(|error| Failure::path(task.name.clone(), error.to_string()))?,
    };
    let (prompt, reference) = item.map(|item| (item.prompt, item.reference)).unzip();
    let sha256 = task.sha256();
    let shown = ShownTask {
        task,
        sha256,
        prompt,
        reference,
    };
    Ok(Report::new(text, shown))
}

impl TaskArgs {
    fn resolve(&self, name: &str) -> Result<Task, Failure> {
        let task = Task::named(name)?;
        Ok(match self.shots {
            Some(shots) => task.with_shots(shots),
            None => task,
        })
    }

    fn read(&self, data: &Path) -> Result<Evaluation, Failure> {
        let mut tasks: Vec<Task> = Vec::new();
        for name in &self.tasks {
            let task = self.resolve(name)?;
            if tasks.iter().any(|other| other.name == task.name) {
                let reason = format!("the task '{}' is given twice", task.name);
                return Err(Failure::flag("--task", reason));
            }
            tasks.push(task);
        }
        let selection = Selection {
            limit: self.limit.map(NonZeroUsize::get),
            languages: self.languages.clone(),
            too_long: self.too_long.into(),
        };
        Ok(Evaluation::read(tasks, data, &selection)?)
    }
}

/// Answers all examples that have no answer yet, and scores.
pub(super) fn run(
    (model, load, scales): (&ModelArgs, &LoadArgs, &ScaleArgs),
    data: &Path,
    args: &TaskArgs,
    common: &Common,
) -> Result<Report, Failure> {
    common.device()?;
    let evaluation = args.read(data)?;
    let scorers = evaluation.scorers(&args.sandbox.options())?;
    let model = Model::load(model, load, scales, common)?;
    let answering = model.answering(Decoding {
        rows: args.batch.get(),
        too_long: args.too_long.into(),
    });
    let (identity, seed, total) = (model.identity()?, common.seed, evaluation.examples());
    interrupt::listen();
    let mut progress = None;
    let watch = |done: usize| {
        match &mut progress {
            Some(progress) => Progress::advance(progress, done, ""),
            None if common.quiet => {}
            None => progress = Some(Progress::new("eval", total, done)),
        }
        match interrupt::requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let out = args.out.as_deref().unwrap_or(Path::new("runs/eval"));
    match evaluation.run(&answering, &identity, &scorers, out, seed, watch)? {
        ControlFlow::Break(done) => Err(Failure::Stopped { done, total }),
        ControlFlow::Continue(mut results) => {
            results.commit = commit().map(str::to_owned);
            EvaluationDirectory::finish(out, &results)?;
            Ok(report(&results))
        }
    }
}

/// Scores a run again, without a model.
pub(in crate::commands) fn again(
    samples: &Path,
    sandbox: &SandboxArgs,
    common: &Common,
) -> Result<Report, Failure> {
    let results = Results::again(samples, &sandbox.options(), common.seed)?;
    Ok(report(&results))
}

fn report(results: &Results) -> Report {
    let rows: Vec<(String, String)> = results.tasks.iter().flat_map(task_rows).collect();
    Report::new(table(&rows), results)
}

/// Scores of every language, then of groups of them.
fn task_rows(task: &TaskResults) -> Vec<(String, String)> {
    let metric = json!(task.metric);
    let metric = metric.as_str().unwrap_or_default();
    let languages = task.languages.iter().map(|language| {
        let name = format!("{} {}", task.task, language.language);
        let (score, error, n) = (language.score, language.standard_error, language.n);
        let cut = match language.truncated {
            0 => String::new(),
            cut => format!(", prompts cut: {cut}"),
        };
        let text = format!("{metric} {score:.1} ± {error:.1} (n = {n}{cut})");
        (name.trim_end().to_owned(), text)
    });
    let groups = task.groups.iter().map(|group| {
        let mut text = format!("{metric} {:.1}, mean of {}", group.score, group.languages);
        if !group.missing.is_empty() {
            text += &format!("; without {}", group.missing.join(" "));
        }
        (format!("{} {}", task.task, group.group), text)
    });
    languages.chain(groups).collect()
}

/// Compares the second run with the first.
pub(super) fn compared(runs: &[PathBuf], common: &Common) -> Result<Report, Failure> {
    let [first, second] = runs else {
        return Err(Failure::flag("--compare", "takes two runs"));
    };
    let read = |path: &PathBuf| -> Result<_, Failure> {
        Ok((
            EvaluationDirectory::results(path)?,
            EvaluationDirectory::samples(path)?,
        ))
    };
    let (first, second) = (read(first)?, read(second)?);
    let found = compare((&first.0, &first.1), (&second.0, &second.1), common.seed)?;
    Ok(Report::new(text(&found), &found))
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
