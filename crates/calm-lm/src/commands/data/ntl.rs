//! `calm data ntl`: builds D_NTL and D_C of section 4.2 from corpora.

use std::path::{Path, PathBuf};
use std::time::Instant;

use calm_lm::data::builders::ntl::corpora::{BuildOptions, build};
use calm_lm::data::builders::ntl::output;
use calm_lm::terminal::BuildDisplay;
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r#"EXAMPLES
  A manifest names the files of corpora, in corpora.toml for instance:
    layout = 1

    [[corpora]]
    format = "moses"                       # or tmx, tsv, jsonl, parquet, text
    files = ["bible.ny.gz", "bible.en.gz"]
    languages = ["nya_Latn", "eng_Latn"]   # as FLORES-200 writes them
    licence = "public domain"

    [[benchmarks]]                         # none of its sentences may be learnt
    format = "flores-200"
    path = "flores200"

  See what cleaning would leave of the corpora, then write it:
    calm data ntl corpora.toml --dry-run
    calm data ntl corpora.toml --out ntl

docs/corpora.md describes all of a manifest. A --seed other than 0 takes the place of the
manifest's. DIR appears when all is done; Ctrl-C leaves everything as it was."#;

#[derive(Debug, Args)]
pub(super) struct NtlArgs {
    /// File that names the corpora, and says how they are cleaned
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Directory to write to; files of the same names are replaced
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Read and clean everything, but only count what comes out
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
}

#[derive(Serialize)]
struct Built<'a> {
    out: Option<&'a Path>,
    seconds: f64,
    #[serde(flatten)]
    report: output::Report,
}

pub(super) fn run(args: &NtlArgs, common: &Common) -> Result<Report, Failure> {
    let begun = Instant::now();
    let options = BuildOptions {
        seed: (common.seed != 0).then_some(common.seed),
    };
    let mut display = BuildDisplay::new(common.quiet);
    let out = args.out.as_deref();
    let report = build(&args.manifest, out, options, &mut display)?;
    let text = text(out, &report);
    let built = Built {
        out,
        seconds: begun.elapsed().as_secs_f64(),
        report,
    };
    Ok(Report::new(text, built))
}

fn text(out: Option<&Path>, report: &output::Report) -> String {
    let out = out.map(|out| ("written to", out.display().to_string()));
    let mut rows: Vec<(&str, String)> = out.into_iter().collect();
    let corpora = report.corpora().map(|(name, [read, skipped, kept])| {
        let counts = match skipped {
            0 => format!("{name}: {read} records, {kept} kept"),
            _ => format!("{name}: {read} records, {skipped} passed over, {kept} kept"),
        };
        ("corpus", counts)
    });
    rows.extend(corpora);
    let dropped = report.dropped().into_iter();
    rows.extend(dropped.map(|(step, count)| ("dropped", format!("{count} by {step}"))));
    let d_c = &report.d_c;
    let languages = d_c.languages.len();
    let d_c = format!("{} rows of {languages} low-resource languages", d_c.rows);
    rows.push(("D_C", d_c));
    table(&rows)
}
