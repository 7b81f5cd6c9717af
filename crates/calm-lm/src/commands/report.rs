//! `calm report`: a table of results as a page, Markdown, CSV, or text.

use std::path::{Path, PathBuf};

use calm_lm::experiments::report;
use calm_lm::experiments::table::Table;
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The table of an experiment in the terminal, and everything about it as one page:
    calm report experiments/table1
    calm report experiments/table1 --out report.html

  As Markdown for a README, and as a sheet:
    calm report experiments/table1 --markdown
    calm report experiments/table1 --out table.csv

  Evaluations that were made one by one, beside each other; the first is the reference:
    calm report evaluations/anchor evaluations/composition --out compared.html

  The page again from an earlier one, which holds its table, and the table for a program:
    calm report report.html --out again.html
    calm report report.html --json

The page is one file. It needs no network, and no scripts to be read.";

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Directory of an experiment, directories that `calm eval --task … --out` wrote, and compositions
    /// with them, or an earlier report.html
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    /// Write the report: FILE.html for the page, .md, .csv, or .json for the table itself
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print Markdown
    #[arg(long, conflicts_with = "csv")]
    markdown: bool,
    /// Print CSV: a row for every system, task, language and seed, and their means
    #[arg(long)]
    csv: bool,
}

/// A report in a file.
#[derive(Clone, Copy)]
enum Form {
    Page,
    Markdown,
    Csv,
    Json,
}

/// Where a report is.
#[derive(Serialize)]
struct Written<'a> {
    out: &'a Path,
}

pub(super) fn run(args: &ReportArgs) -> Result<Report, Failure> {
    let out = args.out.as_deref();
    let out = out.map(|path| Form::of(path).map(|form| (path, form)));
    let out = out.transpose()?;
    let table = report::read(&args.directories)?;
    if let Some((path, form)) = out {
        calm_files::write(path, form.text(&table)?)?;
    }
    let text = match out {
        _ if args.markdown => report::markdown(&table),
        _ if args.csv => report::csv(&table)?,
        Some((out, _)) => {
            return Ok(Report::new(
                format!("written to  {}\n", out.display()),
                Written { out },
            ));
        }
        None => report::terminal(&table),
    };
    Ok(Report::new(text, &table))
}

impl Form {
    /// The form that a name stands for, before anything is read.
    fn of(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_ref().and_then(|ending| ending.to_str()) {
            Some("html" | "htm") => Ok(Self::Page),
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            _ => {
                let reason =
                    "its form is not known; choose a name that ends in .html, .md, .csv or .json";
                Err(Failure::path(path, reason))
            }
        }
    }

    fn text(self, table: &Table) -> Result<String, Failure> {
        match self {
            Self::Page => Ok(report::html(table)?),
            Self::Markdown => Ok(report::markdown(table)),
            Self::Csv => Ok(report::csv(table)?),
            Self::Json => Ok(report::json(table)?),
        }
    }
}
