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

use super::flags::{Amounts, given};
use crate::cli::Common;
use crate::commands::load::LoadArgs;
use crate::commands::model::{Model, ModelArgs, ScaleArgs};
use crate::failure::Failure;
use crate::report::{Report, table};

/// Prompts that are decoded together.
const ROWS: usize = 16;

/// Flags of tasks.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// Benchmark to evaluate on: one of --list, or a task file; several with commas
    #[arg(long = "task", value_name = "TASK", value_delimiter = ',')]
    pub(super) tasks: Vec<String>,
    /// Directory of the run; a run that is there is resumed [default: runs/eval/MODEL/TASK]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// File of the task's examples, in place of the one in --data
    ///
    /// Its name does not matter. Of a task with JSON records it may also be CSV or Parquet.
    #[arg(long, value_name = "FILE")]
    test_file: Option<PathBuf>,
    /// Evaluate this language only; may be given several times
    #[arg(long = "language", value_name = "NAME")]
    languages: Vec<String>,
    /// Treatment of a prompt that has more tokens than the model can read [default: error]
    #[arg(long, value_name = "POLICY", value_enum)]
    too_long: Option<Policy>,
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
    /// Names of the flags that are given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        given([
            ("--python", self.python.is_some()),
            ("--unsafe-run-code", self.unsafe_run_code),
        ])
    }

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
pub(super) fn show(
    name: &str,
    data: Option<&Path>,
    args: &TaskArgs,
    amounts: &Amounts,
) -> Result<Report, Failure> {
    let task = args.resolve(name, amounts)?;
    if data.is_none() && !args.languages.is_empty() && args.test_file.is_none() {
        let reason = "is for the prompt that is shown with --data; give that, too";
        return Err(Failure::flag("--language", reason));
    }
    let item: Option<Item> = match data.or(args.test_file.as_ref().map(|_| Path::new("."))) {
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
    /// Names of the flags that are given.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let own = given([
            ("--task", !self.tasks.is_empty()),
            ("--out", self.out.is_some()),
            ("--test-file", self.test_file.is_some()),
            ("--language", !self.languages.is_empty()),
            ("--too-long", self.too_long.is_some()),
        ]);
        [own, self.sandbox.given()].concat()
    }

    fn resolve(&self, name: &str, amounts: &Amounts) -> Result<Task, Failure> {
        let mut task = Task::named(name)?;
        if let Some(shots) = amounts.shots {
            task = task.with_shots(shots)?;
        }
        if let Some(count) = amounts.max_new_tokens {
            task.generation.max_new_tokens = count.get();
        }
        let (test, shots) = (self.test_file.as_deref(), amounts.shots_file.as_deref());
        Ok(task.with_files(test, shots, &self.languages)?)
    }

    /// The tasks, as the flags change them.
    fn resolve_all(&self, amounts: &Amounts) -> Result<Vec<Task>, Failure> {
        let files = given([
            ("--test-file", self.test_file.is_some()),
            ("--shots-file", amounts.shots_file.is_some()),
        ]);
        if let (Some(flag), true) = (files.first(), self.tasks.len() > 1) {
            return Err(Failure::flag(
                flag,
                "is the file of one task; evaluate on one at a time",
            ));
        }
        let mut tasks: Vec<Task> = Vec::new();
        for name in &self.tasks {
            let task = self.resolve(name, amounts)?;
            if tasks.iter().any(|other| other.name == task.name) {
                let reason = format!("the task '{}' is given twice", task.name);
                return Err(Failure::flag("--task", reason));
            }
            tasks.push(task);
        }
        let runs_none = tasks.iter().all(|task| task.score.program.is_none());
        match self.sandbox.given().first() {
            Some(flag) if runs_none => {
                let reason = "is for tasks that run generated programs, and none of these does";
                Err(Failure::flag(flag, reason))
            }
            _ => Ok(tasks),
        }
    }

    /// The directory of the benchmark's files; any, if they are named one by one.
    fn directory<'a>(&self, data: Option<&'a Path>) -> Result<&'a Path, Failure> {
        match (data, &self.test_file) {
            (Some(data), _) => Ok(data),
            (None, Some(_)) => Ok(Path::new(".")),
            (None, None) => Err(Failure::flag(
                "--data",
                "say in which directory the benchmark's files are, or name one with --test-file",
            )),
        }
    }

    fn read(&self, data: &Path, amounts: &Amounts) -> Result<Evaluation, Failure> {
        let selection = Selection {
            limit: amounts.limit.map(NonZeroUsize::get),
            languages: self.languages.clone(),
            too_long: self.too_long.unwrap_or_default().into(),
        };
        Ok(Evaluation::read(
            self.resolve_all(amounts)?,
            data,
            &selection,
        )?)
    }

    /// Where the run is kept unless --out says so: a directory of the model, the tasks and all that
    /// makes it another run than that of the tasks as they are.
    fn default_out(&self, model: &str, amounts: &Amounts) -> PathBuf {
        let mut name = self
            .tasks
            .iter()
            .map(|task| plain(stem(task)))
            .collect::<Vec<_>>()
            .join("+");
        let changes = [
            ("limit", amounts.limit.map(NonZeroUsize::get)),
            ("shots", amounts.shots),
            ("tokens", amounts.max_new_tokens.map(NonZeroUsize::get)),
        ];
        for (change, number) in changes {
            name += &number.map_or(String::new(), |number| format!("-{change}-{number}"));
        }
        for language in &self.languages {
            name += &format!("-{}", plain(language));
        }
        let files = [("test", &self.test_file), ("shots", &amounts.shots_file)];
        for (change, file) in files {
            if let Some(file) = file {
                name += &format!("-{change}-{}", plain(stem(&file.to_string_lossy())));
            }
        }
        if self.too_long == Some(Policy::Truncate) {
            name += "-truncate";
        }
        Path::new("runs/eval").join(plain(model)).join(name)
    }
}

/// The name of a file without its directory and ending.
fn stem(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// A name with nothing in it that a path cannot have.
fn plain(name: &str) -> String {
    let name = name.trim_start_matches("hf:").trim_matches(['/', '.']);
    let is_plain = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    match plain.is_empty() {
        true => "model".to_owned(),
        false => plain,
    }
}

/// Answers all examples that have no answer yet, and scores.
pub(super) fn run(
    (model, load, scales): (&ModelArgs, &LoadArgs, &ScaleArgs),
    data: Option<&Path>,
    args: &TaskArgs,
    amounts: &Amounts,
    common: &Common,
) -> Result<Report, Failure> {
    common.device()?;
    let data = args.directory(data)?;
    let evaluation = args.read(data, amounts)?;
    let scorers = evaluation.scorers(&args.sandbox.options())?;
    let model = Model::load(model, load, scales, common)?;
    for (task, records) in evaluation.rows() {
        model.warn_of_learnt(&format!("task '{task}'"), &records);
    }
    let answering = model.answering(Decoding {
        rows: amounts.batch.map_or(ROWS, NonZeroUsize::get),
        too_long: args.too_long.unwrap_or_default().into(),
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
    let default = || args.default_out(&model.name, amounts);
    let out = &args.out.clone().unwrap_or_else(default);
    match evaluation.run(&answering, &identity, &scorers, out, seed, watch)? {
        ControlFlow::Break(done) => Err(Failure::Stopped { done, total }),
        ControlFlow::Continue(mut results) => {
            results.commit = commit().map(str::to_owned);
            EvaluationDirectory::finish(out, &results)?;
            Ok(report(&results, Some(out)))
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
    Ok(report(&results, None))
}

/// Meaning of the brackets in a table of scores.
const INTERVALS: &str =
    "[ ] is the 95 % interval over the examples: Wilson's of shares, else of a bootstrap\n";

fn report(results: &Results, out: Option<&Path>) -> Report {
    let mut rows: Vec<(String, String)> = results.tasks.iter().flat_map(task_rows).collect();
    if let Some(out) = out {
        rows.push(("kept in".to_owned(), out.display().to_string()));
    }
    Report::new(table(&rows) + INTERVALS, results)
}

/// Scores of every language, then of groups of them.
fn task_rows(task: &TaskResults) -> Vec<(String, String)> {
    let metric = task.metric.name();
    let languages = task.languages.iter().map(|language| {
        let name = format!("{} {}", task.task, language.language);
        let (estimate, n) = (language.estimate(), language.n);
        let cut = match language.truncated {
            0 => String::new(),
            cut => format!(", prompts cut: {cut}"),
        };
        let text = format!("{metric} {estimate} (n = {n}{cut})");
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
