//! How a run is saved, and goes on.

use burn::module::Module;
use burn::store::{ModuleRecord, RecordError};

use super::Trainer;
use crate::run_dir::{Checkpoint, Damaged, Rewound, RunDir, RunSummary};
use crate::{EventKind, Objective, TrainError, ValidationMetrics};

/// Receives the result so far, and how far the run is.
pub type Keep<'a, P> = Box<dyn FnMut(&P, &RunProgress) -> Result<(), TrainError> + 'a>;

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct RunProgress {
    /// Step whose parameters are the result so far: that of the best validation, or the last.
    pub step: usize,
    /// Steps that are done.
    pub steps_done: usize,
    /// Steps of these that moved nothing.
    pub skipped_steps: usize,
    /// The best validation.
    pub best: Option<ValidationMetrics>,
    /// Result of the run so far.
    pub summary: Option<RunSummary>,
}

impl<O: Objective> Trainer<'_, O> {
    /// Writes a checkpoint of the last step.
    pub(super) fn save(&mut self, is_best: bool) -> Result<(), TrainError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let unwritable = |error: RecordError| TrainError::Malformed {
            path: dir.path().to_owned(),
            reason: error.to_string(),
        };
        let parameters = self.parameters.clone().into_record();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            parameters: parameters.into_bytes().map_err(unwritable)?,
            optimizer: self.optimizer.into_bytes().map_err(unwritable)?,
        };
        let keep = self.config.keep_checkpoints;
        self.write(|dir| dir.save(&checkpoint, keep))?;
        self.saved = self.state.step;
        self.tell(EventKind::Checkpoint)?;
        if let Some(ValidationMetrics { loss, metric, .. }) = self.state.best.clone()
            && is_best
        {
            self.tell(EventKind::Best { loss, metric })?;
        }
        self.hand_over()
    }

    /// Hands the result so far to whoever keeps it.
    fn hand_over(&mut self) -> Result<(), TrainError> {
        let Some(mut keep) = self.keep.take() else {
            return Ok(());
        };
        let result = self.best.as_ref().unwrap_or(&self.parameters);
        let kept = keep(result, &self.progress());
        self.keep = Some(keep);
        self.write(|_| kept)
    }

    /// How far the run is.
    pub fn progress(&self) -> RunProgress {
        RunProgress {
            step: self.best().map_or(self.state.step, |best| best.step),
            steps_done: self.state.step,
            skipped_steps: self.state.skipped,
            best: self.state.best.clone(),
            summary: self.summary(),
        }
    }

    /// Notes down an event of the last step that was done.
    pub(super) fn tell(&mut self, kind: EventKind) -> Result<(), TrainError> {
        let step = self.state.step;
        self.write(|dir| dir.tell(step, kind))
    }

    /// Writes to the run directory, if there is one.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut RunDir) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let (step, checkpoint) = (self.state.step, self.saved);
        let written = self.dir.as_mut().map_or(Ok(()), write);
        written.map_err(|error| TrainError::NotSaved {
            step,
            checkpoint,
            source: Box::new(error),
        })
    }

    /// Goes on from the newest checkpoint of the run directory, if there is any.
    pub(super) fn resume(&mut self) -> Result<(), TrainError> {
        let Some(dir) = &self.dir else {
            return Ok(());
        };
        let newest = dir.newest()?;
        if let Some(checkpoint) = newest.checkpoint {
            let foreign = |error: RecordError| TrainError::Malformed {
                path: dir.path().to_owned(),
                reason: format!("the checkpoint does not fit what is trained: {error}"),
            };
            let load = |bytes| {
                let record = ModuleRecord::from_bytes(bytes)?;
                self.parameters.clone().try_load_record(record)
            };
            let parameters = load(checkpoint.parameters).map_err(foreign)?;
            let is_best = checkpoint.state.best_step() == Some(checkpoint.state.step);
            self.best = match newest.best {
                Some(bytes) => Some(load(bytes).map_err(foreign)?),
                None => is_best.then(|| parameters.clone()),
            };
            // Loaded parameters may have other ids than those that the optimiser was made for.
            self.optimizer = self
                .config
                .optimizer(&parameters)
                .from_bytes(checkpoint.optimizer)
                .map_err(foreign)?;
            self.parameters = parameters;
            self.schedule = self.config.schedule(checkpoint.state.step)?;
            self.state = checkpoint.state;
            self.saved = self.state.step;
        }
        self.rewind(newest.damaged)
    }

    /// Brings the logs to where the run goes on, and notes down that it does.
    fn rewind(&mut self, damaged: Vec<Damaged>) -> Result<(), TrainError> {
        let step = self.state.step;
        let Some(dir) = &mut self.dir else {
            return Ok(());
        };
        let Rewound {
            is_resumed,
            lost_steps,
        } = dir.rewind(step)?;
        let steps = RunDir::read_metrics(dir.path())?;
        self.remember_steps(&steps);
        for Damaged { step: from, reason } in damaged {
            let there = match step {
                0 => "the beginning".to_owned(),
                _ => format!("that of step {step}"),
            };
            tracing::warn!(
                "the checkpoint of step {from} is damaged, so the run goes on from {there}: {reason}"
            );
            self.tell(EventKind::FellBack { from, reason })?;
        }
        self.tell(match is_resumed {
            true => EventKind::Resumed { lost_steps },
            false => EventKind::Started,
        })
    }
}
