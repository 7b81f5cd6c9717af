//! `calm data code`: builds D_Code and D_C of section 4.3 from source code.

use std::path::PathBuf;

use calm_lm::data::builders::code::{CodeReport, build};
use calm_lm::terminal::BuildDisplay;
use clap::Args;

use super::{built, dropped};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  See what cleaning would leave of the code that a manifest names, then write it:
    calm data code code.toml --dry-run
    calm data code code.toml --out code

docs/code.md describes all of a manifest. A --seed other than 0 takes the place of the manifest's. DIR appears when all is
done; Ctrl-C leaves everything as it was.";

#[derive(Debug, Args)]
pub(super) struct CodeArgs {
    /// File that names the source code, and says how it is cleaned
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Directory to write to; files of the same names are replaced
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Read and clean everything, but only count what comes out
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
}

pub(super) fn run(args: &CodeArgs, common: &Common) -> Result<Report, Failure> {
    let out = args.out.as_deref();
    let build = |seed, display: &mut BuildDisplay| build(&args.manifest, out, seed, display);
    built(out, common, build, rows)
}

fn rows(report: &CodeReport) -> Vec<(&'static str, String)> {
    let sources = report.sources().map(|(name, [read, skipped, kept])| {
        (
            "source",
            format!("{name}: {read} files, {kept} kept; {skipped} others passed over"),
        )
    });
    let mut rows: Vec<_> = sources.chain(dropped(report.dropped())).collect();
    rows.extend(report.languages.iter().map(|(language, files)| {
        let megabytes = files.bytes_kept as f64 / 1e6;
        (
            "language",
            format!("{language}: {} files, {megabytes:.1} MB", files.kept),
        )
    }));
    let functions = report
        .functions
        .values()
        .map(|counts| counts.functions)
        .sum::<u64>();
    rows.push(("functions", format!("{functions} with a description")));
    let d_c = report.files.iter().find(|file| file.name == "d_c.jsonl");
    rows.extend(d_c.map(|file| ("D_C", format!("{} rows", file.rows))));
    rows
}
