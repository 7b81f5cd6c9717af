//! Whether training helps: the loss that it began with, and what it came to.

use super::Trainer;
use crate::run_dir::{ReferenceLoss, ReferenceModel, RunDir, RunSummary, number};
use crate::{EventKind, Objective, StepMetrics, TrainError};

/// A loss that a run is measured by. It is taken once, before the first step of the run.
pub struct Reference<'a> {
    /// The model whose loss it is.
    pub model: ReferenceModel,
    /// Examples that it is taken on.
    pub examples: usize,
    /// Whether these are held out.
    pub held_out: bool,
    /// The loss, in nats per target token.
    pub measure: Box<dyn Fn() -> Result<f64, TrainError> + 'a>,
}

/// By this share of the steps a loss should be below that at the start.
const DUE_SHARE: f64 = 0.25;

impl<O: Objective> Trainer<'_, O> {
    /// Takes a loss to compare with, or reads the one that an earlier process of the run took. The
    /// last one is to be that of the parameters that training begins with.
    ///
    /// # Errors
    ///
    /// Those of measuring it, and [`TrainError::NotSaved`].
    pub fn measure(&mut self, reference: &Reference<'_>) -> Result<ReferenceLoss, TrainError> {
        let events = match &self.dir {
            Some(dir) => RunDir::read_events(dir.path())?,
            None => Vec::new(),
        };
        let known = events.into_iter().find_map(|event| match event.kind {
            EventKind::Reference(known) => (known.model == reference.model).then_some(known),
            _ => None,
        });
        let taken = match known {
            Some(known) => known,
            None => {
                let taken = ReferenceLoss {
                    model: reference.model,
                    loss: (reference.measure)()?,
                    examples: reference.examples,
                    held_out: reference.held_out,
                };
                // It belongs to the beginning, also where a run is resumed that had none.
                self.write(|dir| dir.tell(0, EventKind::Reference(taken.clone())))?;
                taken
            }
        };
        self.references.push(taken.clone());
        Ok(taken)
    }

    /// Result of the run so far, if it is measured by anything.
    pub fn summary(&self) -> Option<RunSummary> {
        let start = self.references.last()?;
        let (loss, metric, step) = match self.best() {
            Some(best) if start.held_out => (best.loss, best.metric.clone(), best.step),
            None if !start.held_out && !self.recent.is_empty() => {
                (self.recent_loss(), None, self.state.step)
            }
            _ => return None,
        };
        Some(RunSummary {
            references: self.references.clone(),
            loss,
            perplexity: loss.exp(),
            metric,
            held_out: start.held_out,
            examples: start.examples,
            best_step: step,
        })
    }

    /// Notes down what the run came to.
    pub(super) fn sum_up(&mut self) -> Result<(), TrainError> {
        let Some(summary) = self.summary() else {
            return Ok(());
        };
        if !summary.held_out {
            self.warn_if_above_start(summary.loss)?;
        }
        self.tell(EventKind::Summary(summary))
    }

    /// Keeps the losses of the last tenth of the steps.
    pub(super) fn remember(&mut self, loss: f32) {
        self.recent.push_back(loss);
        while self.recent.len() > (self.config.steps / 10).max(1) {
            self.recent.pop_front();
        }
    }

    /// The same of steps that earlier processes made.
    pub(super) fn remember_steps(&mut self, steps: &[StepMetrics]) {
        for step in steps {
            self.remember(step.loss);
        }
    }

    fn recent_loss(&self) -> f64 {
        let sum: f64 = self.recent.iter().map(|loss| f64::from(*loss)).sum();
        sum / self.recent.len() as f64
    }

    /// Says, once, that the loss has not come below where it began.
    pub(super) fn warn_if_above_start(&mut self, loss: f64) -> Result<(), TrainError> {
        let Some(start) = self.references.last() else {
            return Ok(());
        };
        let (step, steps) = (self.state.step, self.config.steps);
        let is_due = step as f64 >= DUE_SHARE * steps as f64;
        if self.is_above_start || !is_due || loss <= start.loss {
            return Ok(());
        }
        let kind = if start.held_out {
            "held-out"
        } else {
            "training"
        };
        tracing::warn!(
            "after {step} of {steps} steps the {kind} loss is {}, above the {} nats per token of \
             the {}; try a lower --learning-rate (it is {:e}), more --steps, or more data of the \
             kind that is to be learnt",
            number(loss),
            number(start.loss),
            start.model,
            self.config.learning_rate
        );
        let start = start.loss;
        self.is_above_start = true;
        self.tell(EventKind::AboveStart { loss, start })
    }
}
