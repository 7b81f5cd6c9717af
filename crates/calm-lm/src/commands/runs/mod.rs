//! `calm runs`: looks at training runs, also at those that are not done yet.

mod compare;
mod curves;
mod find;
mod run;

use std::path::{Path, PathBuf};

use calm_lm::train::RunDescription;
use clap::{Args, Subcommand};
use serde::Serialize;

use self::run::{Run, RunReport, plain};
use crate::failure::Failure;
use crate::report::{Report, columns, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  All runs below the current directory, one of them, and two side by side:
    calm runs list
    calm runs show composition --plot loss.svg
    calm runs compare composition lora

`calm runs VIEW --help` has more of each.";

const LIST_EXAMPLES: &str = r"EXAMPLES
  All runs below the current directory:
    calm runs list

  Those of two places, for a program:
    calm runs list experiments old/experiments --json

A run is running as long as a process trains in it. Steps, loss and speed are those of
its metrics.jsonl, the best validation has the least loss.";

const SHOW_EXAMPLES: &str = r"EXAMPLES
  What a run is, and how far:
    calm runs show composition

  Its loss as a picture, every step faint and their moving mean bold:
    calm runs show composition --plot loss.svg";

const COMPARE_EXAMPLES: &str = r"EXAMPLES
  In what two runs differ, and what came of it:
    calm runs compare composition lora

  The losses of three in one picture:
    calm runs compare composition lora finetuned --plot losses.svg";

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(subcommand)]
    view: View,
}

#[derive(Debug, Subcommand)]
enum View {
    /// One line for every run below some directories
    #[command(after_long_help = LIST_EXAMPLES)]
    List(ListArgs),
    /// One run with all its settings
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Several runs side by side
    #[command(after_long_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Where to look
    #[arg(value_name = "DIR", default_value = ".")]
    directories: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Directory of a trained result, or the run in it
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    #[command(flatten)]
    plot: PlotArgs,
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// Directories of trained results, or the runs in them
    #[arg(value_name = "DIR", required = true, num_args = 2..)]
    directories: Vec<PathBuf>,
    #[command(flatten)]
    plot: PlotArgs,
}

#[derive(Debug, Args)]
struct PlotArgs {
    /// Draw the loss of every step, its moving mean, and held-out losses, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Runs that were found, for programs.
#[derive(Serialize)]
struct ListReport<'a> {
    runs: Vec<RunReport<'a>>,
}

/// A run and its settings, for programs.
#[derive(Serialize)]
struct ShowReport<'a> {
    #[serde(flatten)]
    run: RunReport<'a>,
    description: &'a RunDescription,
}

pub(super) fn run(args: &RunsArgs) -> Result<Report, Failure> {
    match &args.view {
        View::List(args) => list(&args.directories),
        View::Show(args) => {
            args.plot.check()?;
            show(&Run::at(&args.directory)?, &args.plot)
        }
        View::Compare(args) => {
            args.plot.check()?;
            let runs = args.directories.iter().map(|directory| Run::at(directory));
            let runs = runs.collect::<Result<Vec<Run>, _>>()?;
            args.plot.draw(&runs)?;
            Ok(compare::report(&runs))
        }
    }
}

impl PlotArgs {
    /// Before anything is read.
    fn check(&self) -> Result<(), Failure> {
        let is_svg = |path: &Path| path.extension().is_some_and(|ending| ending == "svg");
        match &self.plot {
            Some(path) if !is_svg(path) => {
                let reason = "the picture is an SVG file; choose a name that ends in .svg";
                Err(Failure::path(path, reason))
            }
            _ => Ok(()),
        }
    }

    fn draw(&self, runs: &[Run]) -> Result<(), Failure> {
        let Some(path) = &self.plot else {
            return Ok(());
        };
        Ok(calm_files::write(path, curves::losses(runs).svg())?)
    }
}

fn list(directories: &[PathBuf]) -> Result<Report, Failure> {
    let mut runs = Vec::new();
    for directory in directories {
        for path in find::runs_below(directory)? {
            runs.push(Run::read(&path)?);
        }
    }
    let header = [
        "run",
        "state",
        "steps",
        "loss",
        "best validation",
        "tokens/s",
        "time",
    ];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    lines.extend(runs.iter().map(|run| {
        vec![
            run.name.clone(),
            run.state().to_owned(),
            run.progress(),
            run.loss(),
            run.best_validation(),
            run.speed(),
            run.time(),
        ]
    }));
    let text = match runs.is_empty() {
        true => "there is no run\n".to_owned(),
        false => columns(&lines),
    };
    let runs = runs.iter().map(Run::report).collect();
    Ok(Report::new(text, ListReport { runs }))
}

fn show(run: &Run, plot: &PlotArgs) -> Result<Report, Failure> {
    plot.draw(std::slice::from_ref(run))?;
    let settings = run.settings().into_iter();
    let settings = settings.map(|(name, value)| (name, plain(&value)));
    let settings = table(&settings.collect::<Vec<_>>());
    let text = format!("{}\n{settings}", table(&run.figures()));
    let json = ShowReport {
        run: run.report(),
        description: &run.log.description,
    };
    Ok(Report::new(text, json))
}
