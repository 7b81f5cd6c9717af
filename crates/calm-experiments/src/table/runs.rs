//! Training runs as a table has them.

use std::path::{Path, PathBuf};

use calm_train::runs::{BaselineOutcome, BridgeRecord, ModelOutcome, RunRecord, TuningRecord};
use calm_train::{OptimizerKind, RunLog};

use super::{TableError, TrainedRun};

/// Most points of a curve of losses.
const POINTS: usize = 200;

/// Directory of the log in the directory of a result.
const RUN: &str = "run";

impl TrainedRun {
    /// Training of bridges. System, directory, hashes of the models and the number of jobs at a time
    /// are the caller's to fill in, here as below.
    pub fn of_bridges(record: &BridgeRecord) -> Self {
        let added = record.added_parameters;
        Self {
            device: record.device.clone(),
            paper_parameters: Some(added.paper),
            ..Self::of(&record.run, added.stored)
        }
    }

    /// Training of a baseline.
    pub fn of_baseline(outcome: &BaselineOutcome) -> Self {
        Self {
            directory: outcome.out.clone(),
            ..Self::of(&outcome.training, outcome.trainable_parameters)
        }
    }

    /// Training of a model, or of adapters on one.
    pub fn of_model(outcome: &ModelOutcome) -> Self {
        Self {
            directory: outcome.out.clone(),
            ..Self::of(&outcome.training, outcome.trained_parameters)
        }
    }

    /// Training of a checkpoint, or of adapters that are merged into it, as its directory tells.
    pub fn of_checkpoint(record: &TuningRecord) -> Self {
        Self {
            device: record.device.clone(),
            ..Self::of(&record.run, record.trained_parameters)
        }
    }

    /// With the curves of the log in `directory`, that of the result or of the run itself. Without a
    /// log, it stays as it is.
    ///
    /// # Errors
    ///
    /// [`TableError::Training`] if a file of the log is damaged.
    pub fn with_log(self, directory: &Path) -> Result<Self, TableError> {
        let places = [directory.join(RUN), directory.to_owned()];
        let Some(place) = places.iter().find(|place| RunLog::is_run(place)) else {
            return Ok(self);
        };
        let log = RunLog::read(place)?;
        let losses = log
            .steps
            .iter()
            .map(|step| (step.step, f64::from(step.loss)));
        let validation = log.validations.iter();
        let validation = validation.map(|validation| (validation.step, validation.loss as f32));
        Ok(Self {
            losses: thinned(losses),
            validation: validation.filter(|(_, loss)| loss.is_finite()).collect(),
            ..self
        })
    }

    fn of(run: &RunRecord, trained_parameters: usize) -> Self {
        Self {
            system: String::new(),
            seed: run.settings.seed,
            directory: PathBuf::new(),
            trained_parameters,
            paper_parameters: None,
            examples: run.data.examples,
            tokens: run.data.tokens,
            data_sha256: run.data.sha256.clone(),
            weights_sha256: Vec::new(),
            steps: run.steps_done,
            batch: run.rows * run.settings.accumulation,
            optimizer: match run.settings.optimizer {
                OptimizerKind::AdamW => "AdamW",
                OptimizerKind::Muon => "Muon",
            }
            .to_owned(),
            learning_rate: run.settings.learning_rate,
            flops: run.flops,
            seconds: run.seconds,
            peak_bytes: run.peak_bytes,
            jobs_at_once: 1,
            device: String::new(),
            program: run.program.clone(),
            losses: Vec::new(),
            validation: Vec::new(),
        }
    }
}

/// At most [`POINTS`] points: the mean of as many steps for each, at the last of them. JSON has no
/// number for a loss that is not finite, so that these are left out.
fn thinned(losses: impl Iterator<Item = (usize, f64)>) -> Vec<(usize, f32)> {
    let finite: Vec<(usize, f64)> = losses.filter(|(_, loss)| loss.is_finite()).collect();
    let together = finite.len().div_ceil(POINTS).max(1);
    let points = finite.chunks(together).map(|steps| {
        let sum: f64 = steps.iter().map(|(_, loss)| loss).sum();
        (steps[steps.len() - 1].0, (sum / steps.len() as f64) as f32)
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_means_of_neighbours() {
        let steps = |count: usize| (1..=count).map(|step| (step, step as f64));
        assert_eq!(thinned(steps(3)), [(1, 1.0), (2, 2.0), (3, 3.0)]);
        let long = thinned(steps(401));
        assert_eq!(long.len(), 134);
        assert_eq!((long[0], long[133]), ((3, 2.0), (401, 400.5)));
        let broken = [(1, f64::NAN), (2, 1.0)];
        assert_eq!(thinned(broken.into_iter()), [(2, 1.0)]);
        assert_eq!(thinned(std::iter::empty()), []);
    }
}
