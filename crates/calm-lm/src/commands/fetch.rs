//! `calm data fetch`: files of benchmarks, from their publishers.

use std::path::{Path, PathBuf};

use calm_lm::eval::datasets::{Published, PublishedFile, unpack};
use calm_lm::models::{Fetching, PinnedFile};
use clap::Args;
use serde_json::{Value, json};

use super::model::show_fetching;
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  What can be fetched, and under which terms:
    calm data fetch --list

  The files of two benchmarks, which are then evaluated on:
    calm data fetch gsm8k mgsm --out benchmarks
    calm eval composition --task gsm8k --task mgsm --data benchmarks --out runs/maths

  From a copy of the publisher's host:
    calm data fetch humaneval --out benchmarks --mirror https://mirror.example/raw

Size and SHA-256 of every file are part of the program. A file that is there and has them is
kept, one that has not is replaced; what was cut is gone on with.";

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Datasets, as --list names them, or paths of files that describe some
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// Directory to write to
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Address that takes the place of the publishers' host
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// List what can be fetched
    #[arg(long, conflicts_with_all = ["names", "out", "mirror"])]
    list: bool,
}

pub(super) fn run(args: &FetchArgs, common: &Common) -> Result<Report, Failure> {
    let Some(out) = &args.out else {
        return Ok(list());
    };
    let named = args.names.iter().map(|name| Published::named(name));
    let datasets: Vec<Published> = named.collect::<Result<_, _>>()?;
    let mut fetched = Vec::new();
    for dataset in &datasets {
        fetched.push(fetch(dataset, out, args.mirror.as_deref(), common.quiet)?);
    }
    let rows: Vec<(&str, String)> = fetched.iter().flat_map(Fetched::rows).collect();
    let json: Vec<Value> = fetched.iter().map(Fetched::json).collect();
    Ok(Report::new(table(&rows), json!({ "datasets": json })))
}

fn list() -> Report {
    let datasets = Published::builtin();
    let rows = datasets.iter().map(|dataset| {
        let (about, licence) = (&dataset.about, &dataset.licence);
        let how = ["", "; by hand"][usize::from(dataset.files.is_empty())];
        (&*dataset.name, format!("{about} ({licence}{how})"))
    });
    let text = table(&rows.collect::<Vec<_>>());
    Report::new(text, json!({ "datasets": datasets }))
}

/// What is there of a dataset.
struct Fetched<'a> {
    dataset: &'a Published,
    /// With whether they had to be fetched.
    files: Vec<(PathBuf, bool)>,
    unpacked: Vec<PathBuf>,
}

fn fetch<'a>(
    dataset: &'a Published,
    out: &Path,
    mirror: Option<&str>,
    quiet: bool,
) -> Result<Fetched<'a>, Failure> {
    if dataset.files.is_empty() {
        let (name, by_hand) = (&dataset.name, &dataset.by_hand);
        let (page, licence) = (&dataset.page, &dataset.licence);
        let reason = format!("{name} ({licence}) is described at {page}: {by_hand}");
        return Err(Failure::flag("NAME", reason));
    }
    let (mut files, mut unpacked) = (Vec::new(), Vec::new());
    for file in &dataset.files {
        let path = out.join(&file.name);
        let pinned = pinned(dataset, file, mirror);
        let is_new = show_fetching(quiet, |show: &mut dyn FnMut(Fetching<'_>)| {
            pinned.fetch(&path, show)
        })?;
        if let Some(below) = &file.unpack {
            unpacked.extend(unpack(&path, below, out)?);
        }
        files.push((path, is_new));
    }
    Ok(Fetched {
        dataset,
        files,
        unpacked,
    })
}

fn pinned(dataset: &Published, file: &PublishedFile, mirror: Option<&str>) -> PinnedFile {
    PinnedFile {
        name: file.name.clone(),
        url: dataset.url(file, mirror),
        sha256: file.sha256.clone(),
        bytes: file.bytes,
    }
}

impl Fetched<'_> {
    fn rows(&self) -> Vec<(&str, String)> {
        let dataset = self.dataset;
        let mut rows = vec![
            ("dataset", format!("{}, {}", dataset.name, dataset.page)),
            ("licence", dataset.licence.clone()),
        ];
        for (path, is_new) in &self.files {
            let what = ["was there", "fetched"][usize::from(*is_new)];
            rows.push((what, path.display().to_string()));
        }
        let unpacked = self.unpacked.iter();
        rows.extend(unpacked.map(|path| ("unpacked", path.display().to_string())));
        if !dataset.by_hand.is_empty() {
            rows.push(("by hand", dataset.by_hand.clone()));
        }
        rows
    }

    fn json(&self) -> Value {
        let files = self.files.iter().zip(&self.dataset.files);
        let files = files.map(|((path, is_new), file)| {
            json!({
                "path": path,
                "fetched": is_new,
                "bytes": file.bytes,
                "sha256": file.sha256,
            })
        });
        json!({
            "dataset": self.dataset.name,
            "licence": self.dataset.licence,
            "page": self.dataset.page,
            "files": files.collect::<Vec<_>>(),
            "unpacked": self.unpacked,
            "by_hand": self.dataset.by_hand,
        })
    }
}
