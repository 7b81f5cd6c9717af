//! The directory of a training run: settings, metrics, checkpoints, and a lock.
//!
//! ```text
//! run.json            settings as resolved, versions, device, hashes of what is trained on
//! metrics.jsonl       one line per step
//! checkpoints/STEP/   parameters.bpk, optimizer.bpk, checkpoint.json
//! lock                held while a process trains here
//! ```
//!
//! A checkpoint is written under a temporary name and renamed, and its `checkpoint.json`, which
//! holds the sizes and hashes of the other two, is written last: a directory that is cut short is
//! never mistaken for a checkpoint. The last two are kept.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use burn::tensor::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::TrainError;

const KEPT_CHECKPOINTS: usize = 2;

/// A run directory that this process alone writes to.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: File,
    _lock: File,
}

/// What one optimiser step did, as a line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// 1-based step.
    pub step: usize,
    /// Mean cross-entropy per target token, in nats.
    pub loss: f32,
    /// L2 norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Base learning rate of the step.
    pub learning_rate: f64,
    /// Target tokens in the step.
    pub target_tokens: usize,
    /// Seconds since this process began to train.
    pub seconds: f64,
}

/// The state of a run after a step, as bytes.
pub(crate) struct Checkpoint {
    pub(crate) step: usize,
    pub(crate) parameters: Bytes,
    pub(crate) optimizer: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Seal {
    step: usize,
    parameters_sha256: String,
    optimizer_sha256: String,
}

impl RunDir {
    /// Opens `path` for a run with these settings, creating it if need be.
    ///
    /// # Errors
    ///
    /// [`TrainError::Locked`] if another process trains here, [`TrainError::OtherRun`] if the
    /// directory holds a run with other settings, [`TrainError::Io`] if it cannot be written.
    pub fn open(path: &Path, settings: &Value) -> Result<Self, TrainError> {
        fs::create_dir_all(path.join("checkpoints")).map_err(io(path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::Locked {
                    path: path.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(io(&lock_path)(source)),
        }
        check_settings(&path.join("run.json"), settings)?;
        let metrics_path = path.join("metrics.jsonl");
        let metrics = File::options()
            .create(true)
            .append(true)
            .open(&metrics_path)
            .map_err(io(&metrics_path))?;
        Ok(Self {
            path: path.to_owned(),
            metrics,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the metrics of a step.
    pub(crate) fn record(&mut self, metrics: &StepMetrics) -> Result<(), TrainError> {
        let mut line = serde_json::to_vec(metrics).expect("metrics are plain numbers");
        line.push(b'\n');
        self.metrics
            .write_all(&line)
            .map_err(io(&self.path.join("metrics.jsonl")))
    }

    /// Every step that a run directory has a record of, in order.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if there is no such record, [`TrainError::Malformed`] if a line of it
    /// is damaged.
    pub fn read_metrics(path: &Path) -> Result<Vec<StepMetrics>, TrainError> {
        let path = path.join("metrics.jsonl");
        let text = fs::read_to_string(&path).map_err(io(&path))?;
        let steps = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| TrainError::Malformed {
                path: path.clone(),
                reason: format!("line {}: {error}", number + 1),
            })
        });
        steps.collect()
    }

    /// Drops metrics of steps after `step`: those of a process that died before its checkpoint.
    pub(crate) fn rewind_metrics(&mut self, step: usize) -> Result<(), TrainError> {
        let path = self.path.join("metrics.jsonl");
        let file = File::open(&path).map_err(io(&path))?;
        let mut kept = 0;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(io(&path))?;
            match serde_json::from_slice::<StepMetrics>(&line) {
                Ok(metrics) if metrics.step <= step => kept += line.len() as u64 + 1,
                _ => break,
            }
        }
        self.metrics.set_len(kept).map_err(io(&path))
    }

    /// Writes a checkpoint and forgets the oldest ones.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        let parent = self.path.join("checkpoints");
        let name = format!("{:08}", checkpoint.step);
        let temporary = parent.join(format!("{name}.tmp"));
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(io(&temporary))?;
        }
        fs::create_dir(&temporary).map_err(io(&temporary))?;
        let seal = Seal {
            step: checkpoint.step,
            parameters_sha256: write_synced(
                &temporary.join("parameters.bpk"),
                &checkpoint.parameters,
            )?,
            optimizer_sha256: write_synced(
                &temporary.join("optimizer.bpk"),
                &checkpoint.optimizer,
            )?,
        };
        let seal = serde_json::to_vec_pretty(&seal).expect("a seal is plain data");
        write_synced(&temporary.join("checkpoint.json"), &seal)?;
        let path = parent.join(name);
        if path.exists() {
            // A damaged one, which was passed over: only then is a step saved again.
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
        fs::rename(&temporary, &path).map_err(io(&path))?;
        for old in self.checkpoint_steps()?.iter().rev().skip(KEPT_CHECKPOINTS) {
            let old = parent.join(format!("{old:08}"));
            fs::remove_dir_all(&old).map_err(io(&old))?;
        }
        Ok(())
    }

    /// The newest checkpoint that is whole, if there is any.
    pub(crate) fn latest(&self) -> Result<Option<Checkpoint>, TrainError> {
        for step in self.checkpoint_steps()?.into_iter().rev() {
            let path = self.path.join("checkpoints").join(format!("{step:08}"));
            match read_checkpoint(&path, step) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => {
                    tracing::warn!("skipping a damaged checkpoint, going back one: {error}");
                }
            }
        }
        Ok(None)
    }

    fn checkpoint_steps(&self) -> Result<Vec<usize>, TrainError> {
        let path = self.path.join("checkpoints");
        let mut steps: Vec<usize> = fs::read_dir(&path)
            .map_err(io(&path))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }
}

fn check_settings(path: &Path, settings: &Value) -> Result<(), TrainError> {
    if !path.exists() {
        let text = serde_json::to_vec_pretty(settings).expect("settings are plain data");
        let temporary = path.with_extension("json.tmp");
        write_synced(&temporary, &text)?;
        return fs::rename(&temporary, path).map_err(io(path));
    }
    let text = fs::read(path).map_err(io(path))?;
    let found: Value = serde_json::from_slice(&text).map_err(|error| TrainError::Malformed {
        path: path.to_owned(),
        reason: format!("not JSON: {error}"),
    })?;
    match first_difference("", &found, settings) {
        Some(difference) => {
            let path = path.parent().unwrap_or(path).to_owned();
            Err(TrainError::OtherRun { path, difference })
        }
        None => Ok(()),
    }
}

/// Where two settings first differ, as `name: there, here`.
fn first_difference(name: &str, found: &Value, wanted: &Value) -> Option<String> {
    let (Value::Object(there), Value::Object(here)) = (found, wanted) else {
        return (found != wanted).then(|| format!("{name}: {found} there, {wanted} here"));
    };
    let keys: std::collections::BTreeSet<_> = there.keys().chain(here.keys()).collect();
    keys.into_iter().find_map(|key| {
        let name = if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        };
        let side = |values: &serde_json::Map<String, Value>| {
            values.get(key).cloned().unwrap_or(Value::Null)
        };
        first_difference(&name, &side(there), &side(here))
    })
}

fn read_checkpoint(path: &Path, step: usize) -> Result<Checkpoint, TrainError> {
    let malformed = |path: &Path, reason: &str| TrainError::Malformed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let seal_path = path.join("checkpoint.json");
    let seal = fs::read(&seal_path).map_err(io(&seal_path))?;
    let seal: Seal = serde_json::from_slice(&seal)
        .map_err(|error| malformed(&seal_path, &format!("not a checkpoint's seal: {error}")))?;
    if seal.step != step {
        return Err(malformed(
            &seal_path,
            "names another step than its directory",
        ));
    }
    let read = |name: &str, expected: &str| {
        let path = path.join(name);
        let bytes = fs::read(&path).map_err(io(&path))?;
        if hex_sha256(&bytes) == expected {
            Ok(Bytes::from_bytes_vec(bytes))
        } else {
            Err(malformed(
                &path,
                "is damaged: its SHA-256 is not the one it was written with",
            ))
        }
    };
    Ok(Checkpoint {
        step,
        parameters: read("parameters.bpk", &seal.parameters_sha256)?,
        optimizer: read("optimizer.bpk", &seal.optimizer_sha256)?,
    })
}

/// Writes a file through to the disk and returns the SHA-256 of what it holds.
fn write_synced(path: &Path, bytes: &[u8]) -> Result<String, TrainError> {
    let mut file = File::create(path).map_err(io(path))?;
    file.write_all(bytes).map_err(io(path))?;
    file.sync_all().map_err(io(path))?;
    Ok(hex_sha256(bytes))
}

fn hex_sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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

    fn checkpoint(step: usize) -> Checkpoint {
        Checkpoint {
            step,
            parameters: Bytes::from_bytes_vec(vec![step as u8; 10]),
            optimizer: Bytes::from_bytes_vec(vec![1; 3]),
        }
    }

    #[test]
    fn a_damaged_checkpoint_gives_way_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path(), &json!({})).unwrap();
        assert!(run.latest().unwrap().is_none());
        for step in [10, 20, 30] {
            run.save(&checkpoint(step)).unwrap();
        }
        assert_eq!(run.checkpoint_steps().unwrap(), [20, 30], "two are kept");
        let newest = dir.path().join("checkpoints/00000030/parameters.bpk");
        fs::write(&newest, [30; 9]).unwrap();
        assert_eq!(run.latest().unwrap().unwrap().step, 20);
        run.save(&checkpoint(30)).unwrap();
        assert_eq!(run.latest().unwrap().unwrap().step, 30, "written anew");
    }

    #[test]
    fn other_settings_and_other_processes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let settings = json!({"train": {"seed": 1}});
        let run = RunDir::open(dir.path(), &settings).unwrap();
        let second = RunDir::open(dir.path(), &settings).unwrap_err();
        assert!(matches!(second, TrainError::Locked { .. }), "{second}");
        drop(run);
        RunDir::open(dir.path(), &settings).unwrap();
        let other = RunDir::open(dir.path(), &json!({"train": {"seed": 2}})).unwrap_err();
        assert!(
            other.to_string().contains("train.seed: 1 there, 2 here"),
            "{other}"
        );
    }

    #[test]
    fn metrics_of_lost_steps_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = RunDir::open(dir.path(), &json!({})).unwrap();
        let metrics = |step| StepMetrics {
            step,
            loss: 1.0,
            gradient_norm: 1.0,
            learning_rate: 0.1,
            target_tokens: 3,
            seconds: 0.5,
        };
        for step in 1..=5 {
            run.record(&metrics(step)).unwrap();
        }
        run.rewind_metrics(3).unwrap();
        run.record(&metrics(4)).unwrap();
        let metrics = RunDir::read_metrics(dir.path()).unwrap();
        let steps: Vec<usize> = metrics.iter().map(|metrics| metrics.step).collect();
        assert_eq!(steps, [1, 2, 3, 4]);
    }
}
