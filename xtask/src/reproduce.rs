//! `cargo xtask reproduce`: the tables of the paper.

use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::backend::device;
use calm_lm::experiment::{ExperimentArgs, ExperimentContext};
use calm_lm::experiments::report;
use calm_lm::experiments::table::Table;
use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

/// Tables to make, and how much of them.
#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// Experiments to run: names of `calm experiment list`, or files
    #[arg(value_name = "EXPERIMENT", default_value = "table1")]
    names: Vec<String>,
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Device to compute on
    #[arg(long, default_value = "auto")]
    device: String,
    /// Put each table into this page, between its lines `<!-- begin NAME -->` and `<!-- end NAME -->`
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

/// Makes the tables, prints them, and says where their reports are.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let context = ExperimentContext {
        device: device(&args.device).into_diagnostic()?,
        device_name: args.device.clone(),
        commit: Some(crate::commit()),
        is_quiet: false,
    };
    for name in &args.names {
        let planned = args.experiment.plan(name, &context).into_diagnostic()?;
        let (table, directory) = planned.run(&context).into_diagnostic()?;
        println!("{}", report::terminal(&table));
        println!("report: {}", directory.report().display());
        if let Some(page) = &args.document {
            let text = fs::read_to_string(page).into_diagnostic();
            let text = text.wrap_err_with(|| page.display().to_string())?;
            calm_files::write(page, with_table(&text, page, &table)?).into_diagnostic()?;
        }
    }
    Ok(())
}

/// The text of a page, with this table in its place.
fn with_table(text: &str, page: &Path, table: &Table) -> Result<String> {
    let frame = &table.frame;
    let name = match &frame.mode {
        Some(mode) => format!("{} {mode}", frame.name),
        None => frame.name.clone(),
    };
    let [begin, end] = ["begin", "end"].map(|edge| format!("<!-- {edge} {name} -->"));
    let parts = text.split_once(&*begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&*end)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Err(miette!(
            "{}: has no lines `{begin}` and `{end}` to put the table between",
            page.display()
        ));
    };
    // Its heading stands below those of the page.
    let table = report::markdown(table).replacen("# ", "### ", 1);
    Ok(format!(
        "{before}{begin}\n\n{}\n\n{end}{after}",
        table.trim()
    ))
}
