//! `calm data`: builds a dataset, or fetches one.

mod code;
mod fetch;
mod kv;
mod ntl;

use std::path::Path;
use std::time::Instant;

use calm_lm::data::DataError;
use calm_lm::terminal::BuildDisplay;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The data of the paper's first experiment at the scale of a laptop, and a benchmark:
    calm data kv --laptop --out kv
    calm data fetch gsm8k --out gsm8k

`calm data NAME --help` has more of each.";

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    dataset: Dataset,
}

#[derive(Debug, Subcommand)]
enum Dataset {
    /// Key-value arithmetic (section 4.1 of the paper)
    #[command(after_long_help = kv::EXAMPLES)]
    Kv(kv::KvArgs),
    /// Low-resource languages (section 4.2 of the paper), from corpora
    #[command(after_long_help = ntl::EXAMPLES)]
    Ntl(ntl::NtlArgs),
    /// Source code (section 4.3 of the paper), from trees and files
    #[command(after_long_help = code::EXAMPLES)]
    Code(code::CodeArgs),
    /// Files of benchmarks, from their publishers
    #[command(after_long_help = fetch::EXAMPLES)]
    Fetch(fetch::FetchArgs),
}

pub(super) fn run(args: &DataArgs, common: &Common) -> Result<Report, Failure> {
    match &args.dataset {
        Dataset::Kv(args) => kv::run(args, common),
        Dataset::Ntl(args) => ntl::run(args, common),
        Dataset::Code(args) => code::run(args, common),
        Dataset::Fetch(args) => fetch::run(args, common),
    }
}

/// What a manifest was built to, as JSON.
#[derive(Serialize)]
struct Built<'a, R> {
    out: Option<&'a Path>,
    seconds: f64,
    #[serde(flatten)]
    report: R,
}

/// Builds what a manifest asks for, by `build` with another seed than the manifest's, if there is one, and
/// reports it: where it is, and `rows`.
fn built<R: Serialize>(
    out: Option<&Path>,
    common: &Common,
    build: impl FnOnce(Option<u64>, &mut BuildDisplay) -> Result<R, DataError>,
    rows: impl FnOnce(&R) -> Vec<(&'static str, String)>,
) -> Result<Report, Failure> {
    let begun = Instant::now();
    let seed = (common.seed != 0).then_some(common.seed);
    let report = build(seed, &mut BuildDisplay::new(common.quiet))?;
    let written = out.map(|out| ("written to", out.display().to_string()));
    let rows: Vec<_> = written.into_iter().chain(rows(&report)).collect();
    let seconds = begun.elapsed().as_secs_f64();
    let built = Built {
        out,
        seconds,
        report,
    };
    Ok(Report::new(table(&rows), built))
}

/// Records that each step dropped.
fn dropped<'a>(
    steps: impl IntoIterator<Item = (&'a str, u64)>,
) -> impl Iterator<Item = (&'static str, String)> {
    let steps = steps.into_iter();
    steps.map(|(step, count)| ("dropped", format!("{count} by {step}")))
}
