//! `calm data fetch`: fetches files of benchmarks from their publishers.

use std::path::{Path, PathBuf};

use calm_lm::data::benchmarks::{Published, PublishedFile};
use calm_lm::data::corpus::unpack;
use calm_lm::models::{Fetching, PinnedFile};
use clap::Args;
use serde::Serialize;

use crate::cli::Common;
use crate::commands::model::show_fetching;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  All datasets with their licences:
    calm data fetch --list

  The files of two benchmarks, which are then evaluated on:
    calm data fetch gsm8k mgsm --out benchmarks
    calm eval composition --task gsm8k --task mgsm --data benchmarks --out runs/maths

  From a copy of the publisher's host:
    calm data fetch humaneval --out benchmarks --mirror https://mirror.example/raw

Size and SHA-256 of every file are part of the program. A file that is there and has them is
kept, another is replaced; an interrupted download goes on.";

#[derive(Debug, Args)]
pub(super) struct FetchArgs {
    /// Datasets, as --list names them, or paths of files that describe some
    #[arg(value_name = "NAME", required_unless_present = "list")]
    names: Vec<String>,
    /// Directory to write to
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    out: Option<PathBuf>,
    /// Address that takes the place of the publishers' host
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// List all datasets
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
    let text = table(&fetched.iter().flat_map(Fetched::rows).collect::<Vec<_>>());
    Ok(Report::new(text, Datasets { datasets: fetched }))
}

#[derive(Serialize)]
struct Datasets<T> {
    datasets: T,
}

fn list() -> Report {
    let datasets = Published::builtin();
    let rows = datasets.iter().map(|dataset| {
        let (about, licence) = (&dataset.about, &dataset.licence);
        let how = ["", "; by hand"][usize::from(dataset.files.is_empty())];
        (&*dataset.name, format!("{about} ({licence}{how})"))
    });
    let text = table(&rows.collect::<Vec<_>>());
    Report::new(text, Datasets { datasets })
}

/// Files of a dataset that are there now.
#[derive(Serialize)]
struct Fetched<'a> {
    dataset: &'a str,
    licence: &'a str,
    page: &'a str,
    files: Vec<FetchedFile<'a>>,
    unpacked: Vec<PathBuf>,
    by_hand: &'a str,
}

#[derive(Serialize)]
struct FetchedFile<'a> {
    path: PathBuf,
    /// Whether it had to be fetched.
    fetched: bool,
    bytes: u64,
    sha256: &'a str,
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
        let fetched = show_fetching(quiet, |show: &mut dyn FnMut(Fetching<'_>)| {
            pinned.fetch(&path, show)
        })?;
        if let Some(below) = &file.unpack {
            unpacked.extend(unpack(&path, below, out)?);
        }
        files.push(FetchedFile {
            path,
            fetched,
            bytes: file.bytes,
            sha256: &file.sha256,
        });
    }
    Ok(Fetched {
        dataset: &dataset.name,
        licence: &dataset.licence,
        page: &dataset.page,
        files,
        unpacked,
        by_hand: &dataset.by_hand,
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
    fn rows(&self) -> Vec<(&'static str, String)> {
        let shown = |path: &PathBuf| path.display().to_string();
        let mut rows = vec![
            ("dataset", format!("{}, {}", self.dataset, self.page)),
            ("licence", self.licence.to_owned()),
        ];
        rows.extend(self.files.iter().map(|file| {
            let state = ["was there", "fetched"][usize::from(file.fetched)];
            (state, shown(&file.path))
        }));
        rows.extend(self.unpacked.iter().map(|path| ("unpacked", shown(path))));
        if !self.by_hand.is_empty() {
            rows.push(("by hand", self.by_hand.to_owned()));
        }
        rows
    }
}
