//! The one training loop: bridges, LoRA, fine-tuning and pre-training all go through it.

mod measuring;
mod saving;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::optim::{GradientsParams, ModuleOptimizer};
use calm_backend::peak_memory;
use calm_data::Batch;

use crate::gradient::mean_and_clip;
use crate::run_dir::{ReferenceLoss, RunDir};
use crate::state::RunState;
use crate::sum::{GradientSum, PairwiseSum};
use crate::{
    EventKind, Objective, RankBatches, Ranks, StepMetrics, TrainConfig, TrainError,
    ValidationMetrics, Validator,
};

/// Where batches come from: a pure function of their number, so that a resumed run sees the
/// batches that the interrupted one would have seen.
pub trait BatchSource {
    /// The batch with this 0-based number.
    ///
    /// # Errors
    ///
    /// Any error that keeps the data from being read.
    fn batch(&self, number: usize) -> Result<Batch, TrainError>;
}

impl<F: Fn(usize) -> Result<Batch, TrainError>> BatchSource for F {
    fn batch(&self, number: usize) -> Result<Batch, TrainError> {
        self(number)
    }
}

pub use self::measuring::Reference;
pub use self::saving::{Keep, RunProgress};

/// How a call to [`Trainer::run`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Validation had not improved for as long as it may.
    StoppedEarly,
    /// The observer asked to stop; the last step is saved.
    Interrupted,
}

/// A run in progress: parameters, optimiser, schedule and the number of steps behind it.
pub struct Trainer<'a, O: Objective> {
    objective: &'a O,
    config: TrainConfig,
    parameters: O::Parameters,
    optimizer: ModuleOptimizer,
    schedule: ModuleLrScheduler,
    state: RunState,
    /// Step of the last checkpoint, 0 if there is none.
    saved: usize,
    /// Those of the best validation.
    best: Option<O::Parameters>,
    validator: Option<Box<dyn Validator<O::Parameters> + 'a>>,
    ranks: Option<Ranks<'a, O::Parameters>>,
    /// Losses that the run is measured by.
    references: Vec<ReferenceLoss>,
    /// Losses of the last tenth of the steps.
    recent: VecDeque<f32>,
    /// Whether it was said that the loss stays above its start.
    is_above_start: bool,
    /// Takes the result so far at every checkpoint.
    keep: Option<Keep<'a, O::Parameters>>,
    dir: Option<RunDir>,
}

impl<'a, O: Objective> Trainer<'a, O> {
    /// A run that starts from `parameters`, or goes on from the newest checkpoint in `dir`.
    ///
    /// Without a directory nothing is written and nothing can be resumed.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] if a setting is out of range, [`TrainError::Malformed`] if a
    /// checkpoint does not fit the parameters.
    pub fn new(
        objective: &'a O,
        parameters: O::Parameters,
        config: TrainConfig,
        dir: Option<RunDir>,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let mut trainer = Self {
            objective,
            schedule: config.schedule(0)?,
            optimizer: config.optimizer(&parameters),
            config,
            parameters,
            state: RunState::default(),
            saved: 0,
            best: None,
            validator: None,
            ranks: None,
            references: Vec::new(),
            recent: VecDeque::new(),
            is_above_start: false,
            keep: None,
            dir,
        };
        trainer.resume()?;
        Ok(trainer)
    }

    /// Validates as often as the settings say. The result of the run is then its best checkpoint,
    /// not its last.
    #[must_use]
    pub fn validated_by(self, validator: Box<dyn Validator<O::Parameters> + 'a>) -> Self {
        Self {
            validator: Some(validator),
            ..self
        }
    }

    /// Has the batches of every step computed by these workers, instead of here. The outcome is the
    /// same: on devices of one kind to the last bit.
    #[must_use]
    pub fn shared_among(self, ranks: Ranks<'a, O::Parameters>) -> Self {
        Self {
            ranks: Some(ranks),
            ..self
        }
    }

    /// Hands the result so far to `keep` at every checkpoint, once it is written.
    #[must_use]
    pub fn kept_by(self, keep: Keep<'a, O::Parameters>) -> Self {
        Self {
            keep: Some(keep),
            ..self
        }
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Steps done so far, those of earlier processes included.
    pub fn completed(&self) -> usize {
        self.state.step
    }

    /// Steps of these that moved nothing, since their loss or their gradients were not finite.
    pub fn skipped(&self) -> usize {
        self.state.skipped
    }

    /// The best validation, if there was any.
    pub fn best(&self) -> Option<&ValidationMetrics> {
        self.state.best.as_ref()
    }

    /// Trains until all steps are done, validation stops it, or `observe`, called after every step,
    /// breaks off.
    ///
    /// # Errors
    ///
    /// [`TrainError::NotFinite`] or [`TrainError::TooManySkipped`] if the loss or a gradient is not
    /// a number, [`TrainError::NotSaved`] if the run directory cannot be written, and whatever the
    /// data or the validation report. The last checkpoint stays whole in any case.
    pub fn run(
        &mut self,
        batches: &impl BatchSource,
        observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
    ) -> Result<Outcome, TrainError> {
        self.run_observed(batches, observe, |_, _| {})
    }

    /// [`Self::run`], where `validated` is told what a validation found, and whether it is the best
    /// so far.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn run_observed(
        &mut self,
        batches: &impl BatchSource,
        observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
        validated: impl FnMut(&ValidationMetrics, bool),
    ) -> Result<Outcome, TrainError> {
        let outcome = self.train(batches, observe, validated);
        if let (Some(ranks), Ok(Outcome::Finished | Outcome::StoppedEarly)) =
            (&mut self.ranks, &outcome)
        {
            ranks.finish();
        }
        if let Ok(Outcome::Finished | Outcome::StoppedEarly) = &outcome {
            self.sum_up()?;
        }
        match &outcome {
            Ok(Outcome::Finished) => self.tell(EventKind::Finished)?,
            Ok(Outcome::StoppedEarly) => self.tell(EventKind::StoppedEarly)?,
            Ok(Outcome::Interrupted) => self.tell(EventKind::Interrupted)?,
            Err(error) => {
                let reason = error.to_string();
                // The error itself matters more than that it cannot be written down.
                let _ = self.tell(EventKind::Failed { reason });
            }
        }
        outcome
    }

    /// The result: parameters of the best validation if there was any, else those of the last step.
    pub fn into_parameters(self) -> O::Parameters {
        self.best.unwrap_or(self.parameters)
    }

    fn train(
        &mut self,
        batches: &impl BatchSource,
        mut observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
        mut validated: impl FnMut(&ValidationMetrics, bool),
    ) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        loop {
            if let Some(outcome) = self.outcome() {
                return Ok(outcome);
            }
            let metrics = self.step(batches, started)?;
            self.write(|dir| dir.record(&metrics))?;
            self.remember(metrics.loss);
            let stop = observe(&metrics).is_break();
            let is_validated =
                self.validator.is_some() && self.config.is_validated_after(metrics.step);
            let is_best = is_validated && self.validate(&mut validated)?;
            let is_due = metrics.step.is_multiple_of(self.config.checkpoint_steps);
            if stop || is_validated || is_due || self.outcome().is_some() {
                self.save(is_best)?;
            }
            if stop && self.outcome().is_none() {
                return Ok(Outcome::Interrupted);
            }
        }
    }

    /// How the run ended, if it has.
    fn outcome(&self) -> Option<Outcome> {
        let patience = self.config.patience.unwrap_or(usize::MAX);
        if self.state.step == self.config.steps {
            Some(Outcome::Finished)
        } else if self.state.validations_since_best >= patience {
            Some(Outcome::StoppedEarly)
        } else {
            None
        }
    }

    fn step(
        &mut self,
        batches: &impl BatchSource,
        started: Instant,
    ) -> Result<StepMetrics, TrainError> {
        let first = self.state.step * self.config.accumulation;
        let batches = (first..first + self.config.accumulation)
            .map(|number| batches.batch(number))
            .collect::<Result<Vec<_>, _>>()?;
        let count = |of: fn(&Batch) -> usize| batches.iter().map(of).sum::<usize>();
        let target_tokens = count(Batch::target_tokens);

        let (loss, mut gradients) = self.gradients(&batches)?;
        let loss = (loss / target_tokens as f64) as f32;
        let gradient_norm = mean_and_clip(
            &self.parameters,
            &mut gradients,
            target_tokens,
            self.config.clip_norm,
        );
        let is_skipped = self.is_skipped(loss, gradient_norm, &batches)?;
        // A step that is skipped counts in the schedule, so that its position is that of the step.
        let rate = self.schedule.step();
        let learning_rate = rate.base();
        if !is_skipped {
            let parameters = self.parameters.clone();
            self.parameters = self.optimizer.step(rate, parameters, gradients);
        }
        self.state.step += 1;
        Ok(StepMetrics {
            step: self.state.step,
            loss,
            gradient_norm,
            learning_rate,
            target_tokens,
            tokens: count(|batch| batch.real.iter().filter(|real| **real).count()),
            positions: count(|batch| batch.real.len()),
            skipped: self.state.skipped,
            peak_memory_mib: peak_memory().map(|bytes| bytes as f64 / f64::from(1 << 20)),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Whether the step that is being made is to move nothing. A finite loss may have gradients
    /// that are not, and one step along them ruins everything.
    fn is_skipped(
        &mut self,
        loss: f32,
        gradient_norm: f64,
        batches: &[Batch],
    ) -> Result<bool, TrainError> {
        let quantities = [("loss", f64::from(loss)), ("gradient norm", gradient_norm)];
        let not_finite = quantities.into_iter().find(|(_, value)| !value.is_finite());
        let Some((quantity, value)) = not_finite else {
            self.state.skipped_in_a_row = 0;
            return Ok(false);
        };
        let step = self.state.step + 1;
        let examples = batches.iter().flat_map(|batch| batch.examples.clone());
        let error = TrainError::NotFinite {
            quantity,
            value,
            step,
            checkpoint: self.saved,
            examples: examples.collect(),
        };
        let skipped = self.state.skipped_in_a_row;
        if skipped == self.config.skip_not_finite {
            return Err(match skipped {
                0 => error,
                _ => TrainError::TooManySkipped {
                    skipped,
                    last: Box::new(error),
                },
            });
        }
        self.state.skipped += 1;
        self.state.skipped_in_a_row += 1;
        let reason = error.to_string();
        tracing::warn!("step {step} is skipped: {reason}");
        self.write(|dir| dir.tell(step, EventKind::Skipped { reason }))?;
        Ok(true)
    }

    /// Loss summed over the target tokens of all micro-batches, and its gradients. They are divided
    /// by the number of these tokens once it is known of the whole step: the mean of micro-batch
    /// means would give a token in a short batch more weight than one in a long batch.
    fn gradients(&mut self, batches: &[Batch]) -> Result<(f64, GradientsParams), TrainError> {
        let (step, checkpoint) = (self.state.step + 1, self.saved);
        let parameters = &self.parameters;
        let mut sum = PairwiseSum::default();
        if let Some(ranks) = &mut self.ranks {
            let assigned = RankBatches {
                step,
                first: 0,
                number: self.state.step * self.config.accumulation,
                batches,
                cancelled: &AtomicBool::new(false),
            };
            let parts = ranks.gradients(parameters, assigned);
            let parts = parts.map_err(|lost| TrainError::WorkerLost {
                worker: lost.worker,
                step,
                checkpoint,
                source: lost.error,
            })?;
            for part in parts {
                sum.push(part, parameters);
            }
        } else {
            for (number, batch) in batches.iter().enumerate() {
                let next = GradientSum::of(self.objective, parameters, number, batch);
                sum.push(next, parameters);
            }
        }
        Ok(sum.total(parameters))
    }

    /// Holds the parameters against the held-out data, and tells whether they are the best so far.
    fn validate(
        &mut self,
        validated: &mut impl FnMut(&ValidationMetrics, bool),
    ) -> Result<bool, TrainError> {
        let Some(validator) = &self.validator else {
            return Ok(false);
        };
        let started = Instant::now();
        let score = validator.validate(&self.parameters)?;
        let metrics = ValidationMetrics {
            step: self.state.step,
            loss: score.loss,
            masked_loss: score.masked_loss,
            metric: score.metric,
            seconds: started.elapsed().as_secs_f64(),
        };
        let is_best = self.state.validated(&metrics);
        if is_best {
            self.best = Some(self.parameters.clone());
        }
        validated(&metrics, is_best);
        self.write(|dir| dir.record_validation(&metrics))?;
        let least = self
            .best()
            .map_or(metrics.loss, |best| best.loss.min(metrics.loss));
        self.warn_if_above_start(least)?;
        Ok(is_best)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};
    use calm_data::TokenizedExample;
    use calm_models::{Decoder, DecoderConfig};

    use super::*;
    use crate::LanguageModelling;

    fn example(length: u32) -> TokenizedExample {
        TokenizedExample::new((1..=length).map(|id| (id * id) % 16).collect(), 2)
    }

    fn batch(lengths: &[u32]) -> Batch {
        let examples: Vec<TokenizedExample> = lengths.iter().map(|&n| example(n)).collect();
        Batch::collate(examples.iter().enumerate(), 0)
    }

    /// All gradients of a decoder, one after another.
    struct Flattened<'a> {
        gradients: &'a GradientsParams,
        values: Vec<f64>,
    }

    impl ModuleVisitor for Flattened<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let gradient = self.gradients.get::<D>(param.id).unwrap();
            self.values.extend(gradient.into_data().iter::<f64>());
        }
    }

    fn gradients(decoder: &Decoder, batches: &[Batch]) -> (f64, Vec<f64>) {
        let objective = LanguageModelling::default();
        let config = TrainConfig::default();
        let mut trainer = Trainer::new(&objective, decoder.clone(), config, None).unwrap();
        let (loss, mut gradients) = trainer.gradients(batches).unwrap();
        let target_tokens = batches.iter().map(Batch::target_tokens).sum();
        mean_and_clip(decoder, &mut gradients, target_tokens, f64::INFINITY);
        let mut flattened = Flattened {
            gradients: &gradients,
            values: Vec::new(),
        };
        decoder.visit(&mut flattened);
        (loss / target_tokens as f64, flattened.values)
    }

    fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
        let difference: f64 = found
            .iter()
            .zip(expected)
            .map(|(a, b)| (a - b).powi(2))
            .sum();
        let norm: f64 = expected.iter().map(|x| x.powi(2)).sum();
        (difference / norm).sqrt()
    }

    #[test]
    fn micro_batches_of_unequal_size_add_up_to_one_batch() {
        let device = Device::default().autodiff();
        let decoder = Decoder::untrained(&DecoderConfig::llama(16, 8, 2, 2), 0, &device);
        let (whole_loss, whole) = gradients(&decoder, &[batch(&[4, 12, 9])]);
        let (loss, parts) = gradients(&decoder, &[batch(&[4]), batch(&[12, 9])]);
        assert!((loss - whole_loss).abs() < 1e-5, "{loss} {whole_loss}");
        assert!(relative_error(&parts, &whole) < 1e-5);

        let (_, short) = gradients(&decoder, &[batch(&[4])]);
        let (_, long) = gradients(&decoder, &[batch(&[12, 9])]);
        let mean_of_means: Vec<f64> = short.iter().zip(long).map(|(a, b)| (a + b) / 2.0).collect();
        assert!(
            relative_error(&mean_of_means, &whole) > 0.1,
            "a mean of means would be found out"
        );
    }
}
