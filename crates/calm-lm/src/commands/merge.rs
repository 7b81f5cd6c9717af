//! `calm merge`: two compositions over one anchor as one.

use std::path::{Path, PathBuf};

use calm_lm::compose::{CompositionFile, Connection, ModelReference};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::report::{Report, connection_rows, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  An anchor that reads a model of code, and one that reads a model of law, as one:
    calm merge code-composition law-composition --out both

Each of them can be switched off or read more softly then, as by --scale 1 --scale 0.5 of
`calm generate`. Both must be over the same anchor, by the hash of its weights. No model is loaded, and
nothing is trained. `calm compose --extend` trains bridges of a second model beside
those of the first.";

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    /// Directory of a composition
    #[arg(value_name = "FIRST")]
    first: PathBuf,
    /// Directory of another one over the same anchor
    #[arg(value_name = "SECOND")]
    second: PathBuf,
    /// Directory for the merged composition
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(args: &MergeArgs) -> Result<Report, Failure> {
    if args.out.join("composition.json").exists() {
        let reason = "holds a composition already; choose another directory";
        return Err(Failure::path(&args.out, reason));
    }
    let file = CompositionFile::merge(&args.first, &args.second, &args.out)?;
    let paths = file.augmenting.iter();
    let paths: Vec<String> = paths
        .map(|model| model.path.display().to_string())
        .collect();
    let mut rows = vec![
        ("written to", args.out.display().to_string()),
        ("augmenting", paths.join(", ")),
    ];
    rows.extend(connection_rows(&file.connections));
    let text = table(&rows);
    let merged = Merged {
        out: &args.out,
        augmenting: &file.augmenting,
        connections: &file.connections,
    };
    Ok(Report::new(text, merged))
}

#[derive(Serialize)]
struct Merged<'a> {
    out: &'a Path,
    augmenting: &'a [ModelReference],
    connections: &'a [Vec<Connection>],
}
