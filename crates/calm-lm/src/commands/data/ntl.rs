//! `calm data ntl`: builds D_NTL and D_C of section 4.2 from corpora, or a generated world of languages.

use std::path::{Path, PathBuf};

use calm_lm::data::builders::ntl::corpora::{BuildOptions, build};
use calm_lm::data::builders::ntl::output;
use calm_lm::data::builders::ntl::world::{self, World, WorldConfig, WorldSizes};
use calm_lm::terminal::BuildDisplay;
use clap::Args;
use serde::Serialize;

use super::{built, dropped};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  See what cleaning would leave of the corpora that a manifest names, then write it:
    calm data ntl corpora.toml --dry-run
    calm data ntl corpora.toml --out ntl

  A generated world of languages, with other tests than the first:
    calm data ntl --world --fold 1 --out world

docs/corpora.md describes all of a manifest, docs/ntl.md the world. A --seed other than 0 takes the place of the
manifest's. DIR appears when all is done; Ctrl-C leaves everything as it was.";

#[derive(Debug, Args)]
pub(super) struct NtlArgs {
    /// File that names the corpora, and says how they are cleaned
    #[arg(value_name = "MANIFEST", required_unless_present = "world")]
    manifest: Option<PathBuf>,
    /// Build a generated world of languages instead of reading corpora
    #[arg(long, conflicts_with_all = ["manifest", "dry_run"])]
    world: bool,
    /// Which part of the world's corpora is D_C, and which of its sentences are tests
    #[arg(long, value_name = "N", requires = "world", default_value_t = 0)]
    fold: u64,
    /// Directory to write to; files of the same names are replaced
    #[arg(long, value_name = "DIR", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Read and clean everything, but only count what comes out
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
}

pub(super) fn run(args: &NtlArgs, common: &Common) -> Result<Report, Failure> {
    let Some(manifest) = &args.manifest else {
        return generate(args, common);
    };
    let out = args.out.as_deref();
    let build =
        |seed, display: &mut BuildDisplay| build(manifest, out, BuildOptions { seed }, display);
    built(out, common, build, rows)
}

#[derive(Serialize)]
struct Generated<'a> {
    out: &'a Path,
    meanings: usize,
    languages: usize,
    d_c: usize,
}

fn generate(args: &NtlArgs, common: &Common) -> Result<Report, Failure> {
    let out = args.out.as_deref().unwrap_or(Path::new(""));
    let world = World::new(WorldConfig {
        seed: common.seed,
        fold: args.fold,
        ..WorldConfig::default()
    })?;
    let d_c = world::build(&world, WorldSizes::default(), out)?;
    let languages = world.languages().len();
    let generated = Generated {
        out,
        meanings: world.meanings(),
        languages,
        d_c,
    };
    let rows = [
        ("written to", out.display().to_string()),
        (
            "world",
            format!(
                "{} meanings in {languages} languages and English",
                generated.meanings
            ),
        ),
        ("D_C", format!("{d_c} rows")),
    ];
    Ok(Report::new(table(&rows), generated))
}

fn rows(report: &output::Report) -> Vec<(&'static str, String)> {
    let corpora = report.corpora().map(|(name, [read, skipped, kept])| {
        let counts = match skipped {
            0 => format!("{name}: {read} records, {kept} kept"),
            _ => format!("{name}: {read} records, {skipped} passed over, {kept} kept"),
        };
        ("corpus", counts)
    });
    let mut rows: Vec<_> = corpora.chain(dropped(report.dropped())).collect();
    let d_c = &report.d_c;
    let languages = d_c.languages.len();
    let d_c = format!("{} rows of {languages} low-resource languages", d_c.rows);
    rows.push(("D_C", d_c));
    rows
}
