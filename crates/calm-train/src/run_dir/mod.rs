//! The directory of a training run: settings, logs, checkpoints, and a lock.
//!
//! ```text
//! run.json            settings as resolved, and what they were first run on
//! metrics.jsonl       one line per step
//! validation.jsonl    one line per validation
//! events.jsonl        one line for whatever else happened
//! checkpoints/STEP/   parameters.bpk, optimizer.bpk, checkpoint.json
//! lock                held while a process trains here
//! ```
//!
//! A checkpoint is written under a temporary name and renamed, and its `checkpoint.json`, which
//! holds the sizes and hashes of the other two, is written last: a directory that is cut short is
//! never mistaken for a checkpoint. The last few are kept, and the best.

mod checkpoint;
mod log;
mod reader;
mod records;
mod summary;

use std::fs;
use std::path::{Path, PathBuf};

use calm_files::{Lock, first_difference};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::checkpoint::{Checkpoint, Damaged, Newest};
pub use self::reader::{BestValidation, RunFigures, RunLog, RunStatus};
pub use self::records::{Event, EventKind, Metric, StepMetrics, ValidationMetrics};
pub(crate) use self::summary::number;
pub use self::summary::{ReferenceLoss, ReferenceModel, RunSummary};

use self::checkpoint::Checkpoints;
use self::log::{Log, read_lines};
use crate::TrainError;

/// Version of the layout of a run directory.
const FORMAT_VERSION: u64 = 1;

/// File with the description of a run.
const DESCRIPTION: &str = "run.json";

/// A run directory that this process alone writes to.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: Log<StepMetrics>,
    validations: Log<ValidationMetrics>,
    events: Log<Event>,
    checkpoints: Checkpoints,
    _lock: Lock,
}

/// Logs of a run that is resumed, after lines of lost steps were dropped.
pub(crate) struct Rewound {
    /// Whether another process was here before.
    pub(crate) is_resumed: bool,
    /// Steps that are to be done again.
    pub(crate) lost_steps: usize,
}

impl RunDir {
    /// Opens `path` for a run with these settings, creating it if need be. `environment` is what
    /// else is worth knowing of it, device and versions of programs: it is written down when a run
    /// begins, and may be another when it goes on.
    ///
    /// # Errors
    ///
    /// [`TrainError::Locked`] if another process trains here, [`TrainError::Format`] if the
    /// directory was written by a program with another layout, [`TrainError::OtherRun`] if it
    /// holds a run with other settings, [`TrainError::Io`] if it cannot be written.
    pub fn open(
        path: &Path,
        settings: &impl Serialize,
        environment: &impl Serialize,
    ) -> Result<Self, TrainError> {
        fs::create_dir_all(path).map_err(io(path))?;
        let lock = Lock::try_acquire(path)?.ok_or_else(|| TrainError::Locked {
            path: path.to_owned(),
        })?;
        let description = RunDescription {
            format_version: FORMAT_VERSION,
            settings: plain(settings),
            environment: plain(environment),
        };
        description.write(path)?;
        Ok(Self {
            path: path.to_owned(),
            metrics: Log::open(path)?,
            validations: Log::open(path)?,
            events: Log::open(path)?,
            checkpoints: Checkpoints::open(path.join("checkpoints"))?,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the metrics of a step.
    pub(crate) fn record(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        self.metrics.append(metrics)
    }

    /// Appends a validation.
    pub(crate) fn record_validation(
        &mut self,
        metrics: &ValidationMetrics,
    ) -> Result<(), TrainError> {
        self.validations.append(metrics)
    }

    /// Appends an event of this moment.
    pub(crate) fn tell(&mut self, step: usize, kind: EventKind) -> Result<(), TrainError> {
        self.events.append(&Event::now(step, kind))
    }

    /// Every step that a run directory has a record of, in order; none if there is no record.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the record cannot be read, [`TrainError::Malformed`] if a line of it
    /// is damaged.
    pub fn read_metrics(path: &Path) -> Result<Vec<StepMetrics>, TrainError> {
        read_lines(path)
    }

    /// Every validation, in order.
    ///
    /// # Errors
    ///
    /// As [`Self::read_metrics`].
    pub fn read_validations(path: &Path) -> Result<Vec<ValidationMetrics>, TrainError> {
        read_lines(path)
    }

    /// Every event, in order.
    ///
    /// # Errors
    ///
    /// As [`Self::read_metrics`].
    pub fn read_events(path: &Path) -> Result<Vec<Event>, TrainError> {
        read_lines(path)
    }

    /// Drops from all logs what came after `step`: what a process did that died before its next
    /// checkpoint.
    pub(crate) fn rewind(&mut self, step: usize) -> Result<Rewound, TrainError> {
        let (_, lost_steps) = self.metrics.rewind(step)?;
        self.validations.rewind(step)?;
        let (events, _) = self.events.rewind(step)?;
        Ok(Rewound {
            is_resumed: events > 0,
            lost_steps,
        })
    }

    /// Writes a checkpoint and forgets the oldest ones but the best. The logs are on the disk
    /// before it is.
    pub(crate) fn save(&self, checkpoint: &Checkpoint, keep: usize) -> Result<(), TrainError> {
        self.metrics.sync()?;
        self.validations.sync()?;
        self.events.sync()?;
        self.checkpoints.save(checkpoint, keep)
    }

    /// The checkpoint that the run resumes from.
    pub(crate) fn newest(&self) -> Result<Newest, TrainError> {
        self.checkpoints.newest()
    }
}

/// `run.json`: what the outcome of a run depends on, and where it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDescription {
    /// Version of the layout of the directory.
    pub format_version: u64,
    /// Everything that the outcome depends on. Its form is that of whoever trains.
    pub settings: Value,
    /// Circumstances, such as the device.
    pub environment: Value,
}

impl RunDescription {
    /// Reads the description of the run in a directory.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if there is none, [`TrainError::Malformed`] if it is damaged,
    /// [`TrainError::Format`] if its layout is another.
    pub fn read(directory: &Path) -> Result<Self, TrainError> {
        let description = Self::read_any(directory).map_err(|error| match error {
            TrainError::Malformed { path, reason } => TrainError::Malformed {
                path,
                reason: format!("not JSON: {reason}"),
            },
            other => other,
        })?;
        match description.format_version {
            FORMAT_VERSION => Ok(description),
            version => Err(TrainError::Format {
                path: directory.join(DESCRIPTION),
                found: version,
                expected: FORMAT_VERSION,
            }),
        }
    }

    /// The same of any layout, where only settings and circumstances are to be shown.
    fn read_any(directory: &Path) -> Result<Self, TrainError> {
        let path = directory.join(DESCRIPTION);
        let text = fs::read(&path).map_err(io(&path))?;
        let found: Value =
            serde_json::from_slice(&text).map_err(|error| TrainError::Malformed {
                path: path.clone(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            // There was no version in the first layout.
            format_version: found["format_version"].as_u64().unwrap_or(0),
            settings: found.get("settings").unwrap_or(&found).clone(),
            environment: found["environment"].clone(),
        })
    }

    /// Writes the description, or compares it with the one that is there.
    fn write(&self, directory: &Path) -> Result<(), TrainError> {
        let path = directory.join(DESCRIPTION);
        if !path.exists() {
            let text = serde_json::to_vec_pretty(self).expect("settings are plain data");
            return Ok(calm_files::write(&path, text)?);
        }
        match first_difference(&Self::read(directory)?.settings, &self.settings) {
            Some(difference) => Err(TrainError::OtherRun {
                path: directory.to_owned(),
                difference: difference.to_string(),
            }),
            None => Ok(()),
        }
    }
}

fn plain(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).expect("settings are plain data")
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> TrainError {
    let path = path.to_owned();
    move |source| TrainError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open(path: &Path, settings: &Value) -> Result<RunDir, TrainError> {
        RunDir::open(path, settings, &json!({"device": "here"}))
    }

    #[test]
    fn other_settings_and_other_processes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = json!({"train": {"seed": 1}});
        let run = open(dir.path(), &settings).unwrap();
        let second = open(dir.path(), &settings).unwrap_err();
        assert!(matches!(second, TrainError::Locked { .. }), "{second}");
        drop(run);
        let elsewhere = json!({"device": "there"});
        RunDir::open(dir.path(), &settings, &elsewhere).unwrap();
        let other = open(dir.path(), &json!({"train": {"seed": 2}})).unwrap_err();
        assert!(
            other.to_string().contains("train.seed: 1 there, 2 here"),
            "{other}"
        );
        let description = RunDescription::read(dir.path()).unwrap();
        assert_eq!(description.environment["device"], "here", "where it began");
    }

    #[test]
    fn other_layouts_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &json!({})).unwrap();
        let file = dir.path().join("run.json");
        for (text, words) in [
            (r#"{"format_version": 2}"#, "format_version is 2"),
            (r#"{"train": {"seed": 1}}"#, "format_version is 0"),
            ("{", "not JSON"),
        ] {
            fs::write(&file, text).unwrap();
            let refused = open(dir.path(), &json!({})).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text, "left alone");
        }
    }
}
