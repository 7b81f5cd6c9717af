//! Checkpoints: written whole or not at all, found again whole or not at all.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Bytes;
use calm_files::{sha256, sync_directory};
use serde::{Deserialize, Serialize};

use super::io;
use crate::TrainError;
use crate::state::RunState;

/// The state of a run after a step, its tensors as bytes.
pub(crate) struct Checkpoint {
    pub(crate) state: RunState,
    pub(crate) parameters: Bytes,
    pub(crate) optimizer: Bytes,
}

/// `checkpoint.json`, which makes a directory a checkpoint.
#[derive(Serialize, Deserialize)]
struct Manifest {
    #[serde(flatten)]
    state: RunState,
    parameters_sha256: String,
    optimizer_sha256: String,
}

/// The checkpoint that a run resumes from.
#[derive(Default)]
pub(crate) struct Newest {
    /// The newest checkpoint that is whole, if there is any.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The parameters of the one that it calls the best, unless that is itself.
    pub(crate) best: Option<Bytes>,
    /// Newer ones, which are not whole.
    pub(crate) damaged: Vec<Damaged>,
}

/// A checkpoint that is not whole.
pub(crate) struct Damaged {
    pub(crate) step: usize,
    pub(crate) reason: String,
}

/// The directory of a run's checkpoints, each in a directory with the name of its step.
#[derive(Debug)]
pub(super) struct Checkpoints {
    path: PathBuf,
}

impl Checkpoints {
    /// Opens the directory, makes it if need be, and clears away what a process that died while
    /// it wrote has left there.
    pub(super) fn open(path: PathBuf) -> Result<Self, TrainError> {
        fs::create_dir_all(&path).map_err(io(&path))?;
        for entry in fs::read_dir(&path).map_err(io(&path))? {
            let left = entry.map_err(io(&path))?.path();
            if left.extension() == Some(OsStr::new("tmp")) {
                fs::remove_dir_all(&left).map_err(io(&left))?;
            }
        }
        Ok(Self { path })
    }

    /// Writes a checkpoint. Of the others, those that are among the last `keep` stay, and those
    /// that one of these calls the best.
    pub(super) fn save(&self, checkpoint: &Checkpoint, keep: usize) -> Result<(), TrainError> {
        let path = self.of(checkpoint.state.step);
        let temporary = path.with_extension("tmp");
        let written = write(&temporary, checkpoint);
        if written.is_err() {
            // A full disk is not to stay full because of this.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        if path.exists() {
            // The same step, of a run that was to be done again.
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
        fs::rename(&temporary, &path).map_err(io(&path))?;
        sync_directory(&self.path)?;
        self.forget(keep)
    }

    /// The newest checkpoint that is whole, and of which the best is whole too. Damaged ones get
    /// another name, so that they are not met again.
    pub(super) fn newest(&self) -> Result<Newest, TrainError> {
        let mut newest = Newest::default();
        for step in self.steps()?.into_iter().rev() {
            match self.read(step) {
                Ok((checkpoint, best)) => {
                    newest.checkpoint = Some(checkpoint);
                    newest.best = best;
                    break;
                }
                Err(error) => newest.damaged.push(Damaged {
                    step,
                    reason: error.to_string(),
                }),
            }
        }
        for damaged in &newest.damaged {
            let path = self.of(damaged.step);
            let aside = path.with_extension("damaged");
            if aside.exists() {
                fs::remove_dir_all(&aside).map_err(io(&aside))?;
            }
            fs::rename(&path, &aside).map_err(io(&path))?;
        }
        Ok(newest)
    }

    fn read(&self, step: usize) -> Result<(Checkpoint, Option<Bytes>), TrainError> {
        let path = self.of(step);
        let manifest = read_manifest(&path, step)?;
        let best = match manifest.state.best_step() {
            Some(best) if best != step => {
                let path = self.of(best);
                let expected = read_manifest(&path, best)?.parameters_sha256;
                Some(read_hashed(&path.join(PARAMETERS), &expected)?)
            }
            _ => None,
        };
        let checkpoint = Checkpoint {
            state: manifest.state,
            parameters: read_hashed(&path.join(PARAMETERS), &manifest.parameters_sha256)?,
            optimizer: read_hashed(&path.join(OPTIMIZER), &manifest.optimizer_sha256)?,
        };
        Ok((checkpoint, best))
    }

    fn forget(&self, keep: usize) -> Result<(), TrainError> {
        let mut steps = self.steps()?;
        let kept = steps.split_off(steps.len().saturating_sub(keep));
        let manifests = kept
            .iter()
            .map(|step| read_manifest(&self.of(*step), *step));
        let best: Vec<usize> = manifests
            .filter_map(|manifest| manifest.ok()?.state.best_step())
            .collect();
        for step in steps.iter().filter(|step| !best.contains(step)) {
            let path = self.of(*step);
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
        Ok(())
    }

    /// The steps that there are checkpoints of, in order.
    pub(super) fn steps(&self) -> Result<Vec<usize>, TrainError> {
        let mut steps: Vec<usize> = fs::read_dir(&self.path)
            .map_err(io(&self.path))?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn of(&self, step: usize) -> PathBuf {
        self.path.join(format!("{step:08}"))
    }
}

const PARAMETERS: &str = "parameters.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const MANIFEST: &str = "checkpoint.json";

/// Writes all files of a checkpoint; the manifest, which knows their hashes, last.
fn write(path: &Path, checkpoint: &Checkpoint) -> Result<(), TrainError> {
    fs::create_dir(path).map_err(io(path))?;
    let manifest = Manifest {
        state: checkpoint.state.clone(),
        parameters_sha256: write_hashed(&path.join(PARAMETERS), &checkpoint.parameters)?,
        optimizer_sha256: write_hashed(&path.join(OPTIMIZER), &checkpoint.optimizer)?,
    };
    let manifest = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
    Ok(calm_files::write(path.join(MANIFEST), manifest)?)
}

fn read_manifest(path: &Path, step: usize) -> Result<Manifest, TrainError> {
    let path = path.join(MANIFEST);
    let malformed = |reason: String| TrainError::Malformed {
        path: path.clone(),
        reason,
    };
    let text = fs::read(&path).map_err(io(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| malformed(format!("not a checkpoint's manifest: {error}")))?;
    match manifest.state.step == step {
        true => Ok(manifest),
        false => Err(malformed(
            "names another step than its directory".to_owned(),
        )),
    }
}

fn read_hashed(path: &Path, expected: &str) -> Result<Bytes, TrainError> {
    let bytes = fs::read(path).map_err(io(path))?;
    if sha256(&bytes) == expected {
        return Ok(Bytes::from_bytes_vec(bytes));
    }
    Err(TrainError::Malformed {
        path: path.to_owned(),
        reason: "is damaged: its SHA-256 is not the one it was written with".to_owned(),
    })
}

/// Writes a file through to the disk and returns the SHA-256 of what it holds.
fn write_hashed(path: &Path, bytes: &[u8]) -> Result<String, TrainError> {
    calm_files::write(path, bytes)?;
    Ok(sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValidationMetrics;

    /// A checkpoint of a run whose best one was that of step `best`.
    fn checkpoint(step: usize, best: Option<usize>) -> Checkpoint {
        let best = best.map(|step| ValidationMetrics {
            step,
            loss: 1.0,
            masked_loss: None,
            metric: None,
            seconds: 0.0,
        });
        Checkpoint {
            state: RunState {
                step,
                best,
                ..RunState::default()
            },
            parameters: Bytes::from_bytes_vec(vec![step as u8; 10]),
            optimizer: Bytes::from_bytes_vec(vec![1; 3]),
        }
    }

    fn open(directory: &Path) -> Checkpoints {
        Checkpoints::open(directory.join("checkpoints")).unwrap()
    }

    fn newest_step(checkpoints: &Checkpoints) -> Option<usize> {
        let newest = checkpoints.newest().unwrap();
        newest.checkpoint.map(|checkpoint| checkpoint.state.step)
    }

    #[test]
    fn a_damaged_checkpoint_gives_way_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = open(dir.path());
        assert_eq!(newest_step(&checkpoints), None);
        for step in [10, 20, 30] {
            checkpoints.save(&checkpoint(step, None), 2).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [20, 30], "two are kept");
        let file = checkpoints.of(30).join(PARAMETERS);
        fs::write(&file, [30; 9]).unwrap();
        let newest = checkpoints.newest().unwrap();
        assert_eq!(newest.checkpoint.unwrap().state.step, 20);
        assert_eq!(newest.damaged[0].step, 30);
        assert!(newest.damaged[0].reason.contains("SHA-256"));
        assert!(
            checkpoints.newest().unwrap().damaged.is_empty(),
            "told once"
        );
        checkpoints.save(&checkpoint(30, None), 2).unwrap();
        assert_eq!(newest_step(&checkpoints), Some(30), "written anew");
    }

    #[test]
    fn the_best_stays_as_long_as_a_kept_one_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = open(dir.path());
        let bests = [(1, 1), (2, 1), (3, 1), (4, 4)];
        for (step, best) in bests {
            checkpoints.save(&checkpoint(step, Some(best)), 2).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [1, 3, 4]);
        fs::remove_file(checkpoints.of(4).join(MANIFEST)).unwrap();
        let newest = checkpoints.newest().unwrap();
        assert_eq!(newest.checkpoint.unwrap().state.step, 3);
        assert_eq!(newest.best.unwrap().to_vec(), [1; 10]);
        for step in [5, 6] {
            checkpoints.save(&checkpoint(step, Some(5)), 2).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [5, 6]);
    }

    #[test]
    fn a_run_whose_best_is_damaged_goes_back_to_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = open(dir.path());
        for (step, best) in [(1, 1), (2, 2), (3, 2)] {
            checkpoints.save(&checkpoint(step, Some(best)), 3).unwrap();
        }
        fs::remove_file(checkpoints.of(2).join(PARAMETERS)).unwrap();
        let newest = checkpoints.newest().unwrap();
        assert_eq!(newest.checkpoint.unwrap().state.step, 1);
        assert_eq!(newest.damaged.len(), 2);
    }

    #[test]
    fn what_was_half_written_is_cleared_away() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("checkpoints/00000040.tmp");
        fs::create_dir_all(&left).unwrap();
        open(dir.path());
        assert!(!left.exists());
    }
}
