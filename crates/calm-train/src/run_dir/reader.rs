//! Reading a run, which may still go on.

use std::fs;
use std::path::{Path, PathBuf};

use calm_files::Lock;
use serde::Serialize;

use super::log::{MAX_BYTES, Record, read_lines};
use super::{
    Event, EventKind, Metric, ReferenceLoss, RunDescription, RunSummary, StepMetrics,
    ValidationMetrics, io,
};
use crate::TrainError;
use crate::state::RunState;

/// Everything that the directory of a run says.
#[derive(Debug, Clone)]
pub struct RunLog {
    /// Directory of the run.
    pub path: PathBuf,
    /// Settings and circumstances.
    pub description: RunDescription,
    /// Every step so far.
    pub steps: Vec<StepMetrics>,
    /// Every validation so far.
    pub validations: Vec<ValidationMetrics>,
    /// Every event so far.
    pub events: Vec<Event>,
    /// Whether a process trains there.
    pub is_running: bool,
}

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// A process trains.
    Running,
    /// All steps are done.
    Finished,
    /// Validation had not improved for as long as it may.
    #[serde(rename = "stopped early")]
    StoppedEarly,
    /// An error ended it.
    Failed,
    /// Steps are left.
    Interrupted,
}

/// Figures of a run, for programs.
#[derive(Debug, Clone, Serialize)]
pub struct RunFigures {
    /// State.
    pub state: RunStatus,
    /// Last step that was done.
    pub step: usize,
    /// Steps of the whole run, where the settings say.
    pub steps: Option<usize>,
    /// Loss of the last step, in nats per target token.
    pub loss: Option<f32>,
    /// Gradient norm of the last step.
    pub gradient_norm: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: Option<f64>,
    /// The best validation.
    pub best_validation: Option<BestValidation>,
    /// Losses that the run is measured by.
    pub references: Vec<ReferenceLoss>,
    /// Its result.
    pub summary: Option<RunSummary>,
    /// Target tokens per second, over all steps.
    pub target_tokens_per_second: Option<f64>,
    /// Seconds of all processes together.
    pub seconds: f64,
}

/// The best validation of a run.
#[derive(Debug, Clone, Serialize)]
pub struct BestValidation {
    /// Step after which it took place.
    pub step: usize,
    /// Loss, in nats per target token.
    pub loss: f64,
    /// Score, if one was taken.
    pub metric: Option<Metric>,
}

impl RunLog {
    /// Whether a directory is one of a training run. An evaluation has a description, too, but no
    /// steps.
    pub fn is_run(directory: &Path) -> bool {
        let files = [super::DESCRIPTION, StepMetrics::FILE];
        files.iter().all(|file| directory.join(file).is_file())
    }

    /// Reads the directory of a run, of any layout whose logs have the form of today. A line that
    /// is being written is left out.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if a file cannot be read, [`TrainError::Malformed`] if one is damaged.
    pub fn read(directory: &Path) -> Result<Self, TrainError> {
        let path = directory.join(super::DESCRIPTION);
        let length = fs::metadata(&path).map_err(io(&path))?.len();
        if length > MAX_BYTES {
            return Err(TrainError::Malformed {
                path,
                reason: "is too long to describe a run".to_owned(),
            });
        }
        Ok(Self {
            path: directory.to_owned(),
            description: RunDescription::read_any(directory)?,
            steps: read_lines(directory)?,
            validations: read_lines(directory)?,
            events: read_lines(directory)?,
            is_running: Lock::is_held(directory),
        })
    }

    /// The last step that was done.
    pub fn step(&self) -> usize {
        self.steps.last().map_or(0, |last| last.step)
    }

    /// Steps of the whole run, where the settings say.
    pub fn total_steps(&self) -> Option<usize> {
        let total = self.description.settings["train"]["steps"].as_u64()?;
        usize::try_from(total).ok()
    }

    /// State of the run.
    pub fn status(&self) -> RunStatus {
        match self.events.last().map(|last| &last.kind) {
            _ if self.is_running => RunStatus::Running,
            Some(EventKind::StoppedEarly) => RunStatus::StoppedEarly,
            Some(EventKind::Failed { .. }) => RunStatus::Failed,
            Some(EventKind::Finished) => RunStatus::Finished,
            _ if self.total_steps() == Some(self.step()) => RunStatus::Finished,
            _ => RunStatus::Interrupted,
        }
    }

    /// The best validation, by the rule of training: the highest score, among equals the least loss.
    pub fn best(&self) -> Option<&ValidationMetrics> {
        let mut state = RunState::default();
        let mut best = None;
        for validation in &self.validations {
            if state.validated(validation) {
                best = Some(validation);
            }
        }
        best
    }

    /// Losses that the run is measured by, such as that of the anchor alone. The last is that of
    /// the parameters that training began with.
    pub fn references(&self) -> impl Iterator<Item = &ReferenceLoss> {
        self.events.iter().filter_map(|event| match &event.kind {
            EventKind::Reference(reference) => Some(reference),
            _ => None,
        })
    }

    /// Result of the run, once it is over.
    pub fn summary(&self) -> Option<&RunSummary> {
        self.events
            .iter()
            .rev()
            .find_map(|event| match &event.kind {
                EventKind::Summary(summary) => Some(summary),
                _ => None,
            })
    }

    /// Seconds of all processes together.
    pub fn seconds(&self) -> f64 {
        StepMetrics::total_seconds(&self.steps)
    }

    /// Target tokens per second, over all steps.
    pub fn tokens_per_second(&self) -> Option<f64> {
        let tokens: usize = self.steps.iter().map(|step| step.target_tokens).sum();
        let seconds = self.seconds();
        (seconds > 0.0).then(|| tokens as f64 / seconds)
    }

    /// All figures.
    pub fn figures(&self) -> RunFigures {
        let last = self.steps.last();
        RunFigures {
            state: self.status(),
            step: self.step(),
            steps: self.total_steps(),
            loss: last.map(|last| last.loss),
            gradient_norm: last.map(|last| last.gradient_norm),
            learning_rate: last.map(|last| last.learning_rate),
            best_validation: self.best().map(|best| BestValidation {
                step: best.step,
                loss: best.loss,
                metric: best.metric.clone(),
            }),
            references: self.references().cloned().collect(),
            summary: self.summary().cloned(),
            target_tokens_per_second: self.tokens_per_second(),
            seconds: self.seconds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunDir;
    use super::*;

    #[test]
    fn the_best_validation_is_that_of_training() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = RunDir::open(dir.path(), &"settings", &"here").unwrap();
        for (step, loss, score) in [(1, 1.0, 0.2), (2, 2.0, 0.9), (3, 1.5, 0.9), (4, 0.5, 0.1)] {
            let name = "exact".to_owned();
            let metric = Some(Metric { name, value: score });
            let validation = ValidationMetrics {
                step,
                loss,
                masked_loss: None,
                metric,
                seconds: 0.0,
            };
            run.record_validation(&validation).unwrap();
        }
        let log = RunLog::read(dir.path()).unwrap();
        assert_eq!(log.best().unwrap().step, 3, "by the score, not the loss");
        assert_eq!(log.status(), RunStatus::Running);
        drop(run);
        let log = RunLog::read(dir.path()).unwrap();
        assert_eq!(log.status(), RunStatus::Interrupted);
    }

    #[test]
    fn an_evaluation_is_no_run() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("run.json"), "{}").unwrap();
        assert!(!RunLog::is_run(dir.path()));
        drop(RunDir::open(&dir.path().join("run"), &"settings", &"here").unwrap());
        assert!(
            RunLog::is_run(&dir.path().join("run")),
            "before its first step"
        );
    }
}
