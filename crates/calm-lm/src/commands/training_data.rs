//! What a run trains on: how it is read, and what is remembered of it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use calm_lm::compose::{FrozenParts, RowTokens};
use calm_lm::data::{Batch, Batches, DataError, DataFile, Examples, Tokenized, TooLong};
use calm_lm::terminal::Progress;
use calm_lm::train::read_examples;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::validation::ValidationData;
use crate::failure::Failure;

/// Up to this size a file is tokenised anew each time, which takes a second or a few, and leaves
/// nothing behind.
const SMALL_BYTES: u64 = 16 << 20;

#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub(super) struct DataArgs {
    /// What is done with an example that has more tokens than the models can read
    #[arg(long, value_name = "POLICY", value_enum, default_value_t)]
    too_long: Policy,
    /// Keep what the data is tokenised to in this directory, for every run on the same data
    /// [default: with the run, if the file is larger than 16 MiB; else nowhere]
    #[arg(long, value_name = "DIR")]
    data_cache: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Policy {
    /// Nothing is trained
    #[default]
    Error,
    /// The beginning of the prompt is cut off, so that the target stays; only if that does not
    /// suffice, the end of the target. A plain text loses its end
    Truncate,
    /// It is left out
    Skip,
}

impl From<Policy> for TooLong {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Error => Self::Error,
            Policy::Truncate => Self::Truncate,
            Policy::Skip => Self::Skip,
        }
    }
}

impl DataArgs {
    pub(super) fn too_long(&self) -> TooLong {
        self.too_long.into()
    }

    /// Reads and tokenises a file, through a cache if it is large or one is asked for.
    /// `with_run` is where that is unless the user says otherwise; none where nothing is to be
    /// written.
    pub(super) fn read(
        &self,
        file: &DataFile<'_>,
        with_run: Option<&Path>,
        quiet: bool,
    ) -> Result<Tokenized, Failure> {
        // Whatever is wrong with the file, reading it will tell.
        let bytes = fs::metadata(&file.path).map_or(0, |data| data.len());
        let is_large = bytes > SMALL_BYTES;
        let mut progress =
            (is_large && !quiet).then(|| Progress::of_bytes("tokenising", bytes as usize, 0));
        let observe = |done: u64| {
            if let Some(progress) = &mut progress {
                progress.advance(done as usize, "");
            }
        };
        let read = match (&self.data_cache, with_run.filter(|_| is_large)) {
            (Some(directory), _) => file.read_through(directory, observe),
            (None, Some(with_run)) => {
                // A directory that was not there goes again, if the data is no good.
                let made = with_run.ancestors().take(3).filter(|path| !path.exists());
                let made = made.last().map(Path::to_owned);
                file.read_through(with_run, observe).inspect_err(|_| {
                    let _ = made.map(fs::remove_dir_all);
                })
            }
            (None, None) => file.read(observe),
        };
        read.map_err(|error| match &error {
            DataError::Example { source, .. } if matches!(**source, DataError::TooLong { .. }) => {
                let hint = "or choose another policy with --too-long";
                Failure::path(&file.path, format!("{source}, {hint}"))
            }
            _ => error.into(),
        })
    }
}

/// What a run trains on.
pub(super) struct TrainingData {
    path: PathBuf,
    batches: Batches,
    /// Where it was read from, how much it is, and its hash.
    pub(super) provenance: Value,
    /// What is trained on it is validated on this.
    pub(super) validation: Option<Box<ValidationData>>,
}

impl TrainingData {
    /// What a file came to, put into batches by `batches`.
    pub(super) fn new(
        file: &DataFile<'_>,
        read: Tokenized,
        batches: impl FnOnce(Examples) -> Batches,
    ) -> Self {
        let Tokenized {
            examples,
            sha256,
            truncated,
            skipped,
        } = read;
        let batches = batches(examples);
        let provenance = json!({
            "path": file.path,
            "sha256": sha256,
            "examples": batches.examples().len(),
            "tokens": batches.examples().tokens(),
            "padding_share": (batches.padding_share() * 1e4).round() / 1e4,
            "too_long": file.tokenizing.too_long,
            "truncated": truncated,
            "skipped": skipped,
        });
        let path = file.path.clone();
        Self {
            path,
            batches,
            provenance,
            validation: None,
        }
    }

    /// One line about it on standard error.
    pub(super) fn announce(&self) {
        let count = |name: &str| self.provenance[name].as_u64().unwrap_or_default();
        let mut line = format!(
            "{}: {} examples, {} tokens, {:.1} % padding",
            self.path.display(),
            count("examples"),
            count("tokens"),
            100.0 * self.batches.padding_share()
        );
        for misfit in ["truncated", "skipped"] {
            if count(misfit) > 0 {
                line += &format!(", {} {misfit}", count(misfit));
            }
        }
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{line}");
    }

    pub(super) fn batch(&self, number: usize) -> Result<Batch, Failure> {
        Ok(self.batches.batch(number)?)
    }

    pub(super) fn batches(&self) -> &Batches {
        &self.batches
    }

    /// What the augmenting models read of every example, if any of them has tokens of its own. It
    /// is held in memory, unlike the examples.
    pub(super) fn read_by(&self, parts: &FrozenParts) -> Result<Option<Vec<RowTokens>>, Failure> {
        const PART: usize = 1024;

        if parts.augmenting.iter().all(|model| model.tokens.is_none()) {
            return Ok(None);
        }
        let mut examples = self.batches.examples().iter();
        let mut rows = Vec::with_capacity(examples.size_hint().0);
        loop {
            let part: Vec<_> = examples.by_ref().take(PART).collect::<Result<_, _>>()?;
            if part.is_empty() {
                return Ok(Some(rows));
            }
            let read = read_examples(parts, &part);
            rows.extend(read.map_err(|error| Failure::path(&self.path, error.to_string()))?);
        }
    }
}
