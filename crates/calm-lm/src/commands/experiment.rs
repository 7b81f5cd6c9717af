//! `calm experiment`: tables of systems beside each other, from one file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use calm_lm::experiment::{ExperimentArgs, ExperimentContext, PlannedExperiment};
use calm_lm::experiments::{Experiment, report};
use calm_lm::train::runs::commit;
use clap::{Args, Subcommand};
use indicatif::HumanDuration;
use serde::Serialize;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, bytes, columns, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  Experiments of this program, and one of them as a file:
    calm experiment list
    calm experiment show table1

  Table 1 of the paper with one seed and half the steps; a report is written beside it:
    calm experiment run table1 --quick

  Time, memory and disk of the whole table, before anything is trained:
    calm experiment run table1 --full --dry-run

  A part of it, with other settings:
    calm experiment run table1 --quick --only composed --only anchor \
        --set data.kv.build.config.fold=1 --set defaults.compose.noise=0.05

  An experiment of your own (docs/experiments.md says what is in the file):
    calm experiment run experiment.toml

Results are kept by what they depend on: the same command goes on after any interruption, a
changed system alone is computed again, and experiments share what is the same.";

const LIST_EXAMPLES: &str = r"EXAMPLES
  Names that `calm experiment run` and `show` take:
    calm experiment list";

const SHOW_EXAMPLES: &str = r"EXAMPLES
  The file of an experiment, to begin one of your own with:
    calm experiment show table1

  The same as --quick runs it, with another setting:
    calm experiment show table1 --quick --set defaults.compose.noise=0.05";

#[derive(Debug, Args)]
pub(crate) struct ExperimentVerb {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the experiments of this program
    #[command(after_long_help = LIST_EXAMPLES)]
    List,
    /// Print an experiment as one file, with all that is laid over it
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Train and evaluate what has no result yet, and write the table and a report
    #[command(after_long_help = EXAMPLES)]
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Name of an experiment, or its file
    #[arg(value_name = "EXPERIMENT")]
    name: String,
    #[command(flatten)]
    args: ExperimentArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Name of an experiment, or its file
    #[arg(value_name = "EXPERIMENT")]
    name: String,
    #[command(flatten)]
    args: ExperimentArgs,
    /// Tell time, memory and disk of the whole table, and train nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(verb: &ExperimentVerb, common: &Common) -> Result<Report, Failure> {
    match &verb.action {
        Action::List => Ok(list()),
        Action::Show(show) => {
            let experiment = show.args.read(&show.name)?;
            Ok(Report::new(experiment.to_toml(), &experiment.file))
        }
        Action::Run(run) => make(run, common),
    }
}

#[derive(Serialize)]
struct Listed<'a> {
    experiments: Vec<ListedExperiment<'a>>,
}

#[derive(Serialize)]
struct ListedExperiment<'a> {
    name: &'a str,
    title: &'a str,
    paper: Option<&'a str>,
    systems: Vec<&'a str>,
}

fn list() -> Report {
    let experiments = Experiment::builtin();
    let listed = experiments.iter().map(|experiment| ListedExperiment {
        name: &experiment.name,
        title: &experiment.file.title,
        paper: experiment.file.paper.as_deref(),
        systems: experiment.file.systems.ids(),
    });
    let listed: Vec<ListedExperiment<'_>> = listed.collect();
    let rows = listed.iter().map(|one| (one.name, one.title.to_owned()));
    let text = table(&rows.collect::<Vec<_>>());
    Report::new(
        text,
        Listed {
            experiments: listed,
        },
    )
}

/// A table that was made, for programs.
#[derive(Serialize)]
struct Made<'a> {
    out: &'a Path,
    report: PathBuf,
    table: &'a calm_lm::experiments::table::Table,
}

fn make(run: &RunArgs, common: &Common) -> Result<Report, Failure> {
    let context = ExperimentContext {
        device: common.device()?,
        device_name: common.device_name().to_owned(),
        commit: commit().map(str::to_owned),
        is_quiet: common.quiet,
    };
    let planned = run.args.plan(&run.name, &context)?;
    if run.dry_run {
        return Ok(described(&planned));
    }
    let (made, directory) = planned.run(&context)?;
    let text = format!(
        "{}\nreport: {}\n",
        report::terminal(&made),
        directory.report().display()
    );
    let json = Made {
        out: directory.path(),
        report: directory.report(),
        table: &made,
    };
    Ok(Report::new(text, json))
}

/// Time, memory and disk of an experiment, for programs.
#[derive(Serialize)]
struct Described {
    jobs: Vec<DescribedJob>,
    jobs_at_once: usize,
    seconds: f64,
    memory_bytes: u64,
    available_bytes: Option<u64>,
    disk_bytes: u64,
}

#[derive(Serialize)]
struct DescribedJob {
    job: String,
    is_done: bool,
    steps: usize,
    training_seconds: f64,
    examples: usize,
    memory_bytes: u64,
    disk_bytes: u64,
}

fn described(planned: &PlannedExperiment) -> Report {
    let jobs = planned.plan.jobs.iter().zip(&planned.estimates.jobs);
    let jobs: Vec<DescribedJob> = jobs
        .map(|(job, estimate)| DescribedJob {
            job: job.title.clone(),
            is_done: estimate.steps == 0 && estimate.examples == 0 && !estimate.is_unknown,
            steps: estimate.steps,
            training_seconds: estimate.training_seconds(),
            examples: estimate.examples,
            memory_bytes: estimate.memory_bytes,
            disk_bytes: estimate.disk_bytes,
        })
        .collect();
    let mut largest: Vec<u64> = jobs.iter().map(|job| job.memory_bytes).collect();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let at_once = planned.at_once();
    let whole = Described {
        jobs_at_once: at_once,
        seconds: jobs.iter().map(|job| job.training_seconds).sum(),
        memory_bytes: largest.iter().take(at_once).sum(),
        available_bytes: planned.estimates.available,
        disk_bytes: jobs.iter().map(|job| job.disk_bytes).sum(),
        jobs,
    };
    Report::new(description(&whole, planned), whole)
}

fn description(whole: &Described, planned: &PlannedExperiment) -> String {
    let header = ["job", "steps", "training", "examples", "memory", "disk"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for (job, estimate) in whole.jobs.iter().zip(&planned.estimates.jobs) {
        let training = match (estimate.is_unknown, job.is_done) {
            (true, _) => "when its models are made".to_owned(),
            (_, true) => "done".to_owned(),
            _ => time(job.training_seconds),
        };
        lines.push(vec![
            job.job.clone(),
            job.steps.to_string(),
            training,
            job.examples.to_string(),
            bytes(job.memory_bytes),
            bytes(job.disk_bytes),
        ]);
    }
    let available = match whole.available_bytes {
        Some(available) => format!(" of {} that may be taken", bytes(available)),
        None => String::new(),
    };
    let rows = [
        (
            "training",
            format!(
                "{} of all threads, by the speed of a few steps",
                time(whole.seconds)
            ),
        ),
        (
            "memory",
            format!(
                "{}{available}, {} jobs at a time",
                bytes(whole.memory_bytes),
                whole.jobs_at_once
            ),
        ),
        ("disk", bytes(whole.disk_bytes)),
    ];
    format!("{}\n{}", columns(&lines), table(&rows))
}

fn time(seconds: f64) -> String {
    HumanDuration(Duration::from_secs_f64(seconds)).to_string()
}
