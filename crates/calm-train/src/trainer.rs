//! The one training loop: bridges, LoRA, fine-tuning and pre-training all go through it.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::store::ModuleRecord;
use calm_data::Batch;

use crate::gradient::mean_and_clip;
use crate::run_dir::{Checkpoint, RunDir, StepMetrics};
use crate::{Objective, TrainConfig, TrainError};

/// Where batches come from: a pure function of their number, so that a resumed run sees the
/// batches that the interrupted one would have seen.
pub trait BatchSource {
    /// The batch with this 0-based number.
    ///
    /// # Errors
    ///
    /// Whatever keeps the data from being read.
    fn batch(&self, number: usize) -> Result<Batch, TrainError>;
}

impl<F: Fn(usize) -> Result<Batch, TrainError>> BatchSource for F {
    fn batch(&self, number: usize) -> Result<Batch, TrainError> {
        self(number)
    }
}

/// How a call to [`Trainer::run`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
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
    completed: usize,
    saved: usize,
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
            completed: 0,
            saved: 0,
            dir,
        };
        trainer.resume()?;
        Ok(trainer)
    }

    /// The settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Steps done so far, those of earlier processes included.
    pub fn completed(&self) -> usize {
        self.completed
    }

    /// Trains until all steps are done or `observe`, called after every step, breaks off.
    ///
    /// # Errors
    ///
    /// [`TrainError::NotFinite`] if the loss or a gradient is not a number, and whatever the data or the run
    /// directory report. The last checkpoint stays whole in any case.
    pub fn run(
        &mut self,
        batches: &impl BatchSource,
        mut observe: impl FnMut(&StepMetrics) -> ControlFlow<()>,
    ) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        while self.completed < self.config.steps {
            let metrics = self.step(batches, started)?;
            if let Some(dir) = &mut self.dir {
                dir.record(&metrics)?;
            }
            let stop = observe(&metrics).is_break();
            let last = self.completed == self.config.steps;
            if stop || last || self.completed.is_multiple_of(self.config.checkpoint_steps) {
                self.save()?;
            }
            if stop && !last {
                return Ok(Outcome::Interrupted);
            }
        }
        Ok(Outcome::Finished)
    }

    /// The parameters as they are now.
    pub fn into_parameters(self) -> O::Parameters {
        self.parameters
    }

    fn step(
        &mut self,
        batches: &impl BatchSource,
        started: Instant,
    ) -> Result<StepMetrics, TrainError> {
        let first = self.completed * self.config.accumulation;
        let batches = (first..first + self.config.accumulation)
            .map(|number| batches.batch(number))
            .collect::<Result<Vec<_>, _>>()?;
        let target_tokens = batches.iter().map(Batch::target_tokens).sum::<usize>();

        let (loss, mut gradients) = self.gradients(&batches);
        let loss = (loss / target_tokens as f64) as f32;
        self.check_finite("loss", f64::from(loss), &batches)?;
        let gradient_norm = mean_and_clip(
            &self.parameters,
            &mut gradients,
            target_tokens,
            self.config.clip_norm,
        );
        // A finite loss may have gradients that are not, and one step along them ruins everything.
        self.check_finite("gradient norm", gradient_norm, &batches)?;
        let rate = self.schedule.step();
        let learning_rate = rate.base();
        self.parameters = self
            .optimizer
            .step(rate, self.parameters.clone(), gradients);
        self.completed += 1;
        Ok(StepMetrics {
            step: self.completed,
            loss,
            gradient_norm,
            learning_rate,
            target_tokens,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    fn check_finite(
        &self,
        quantity: &'static str,
        value: f64,
        batches: &[Batch],
    ) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let examples = batches.iter().flat_map(|batch| batch.examples.clone());
        Err(TrainError::NotFinite {
            quantity,
            value,
            step: self.completed + 1,
            checkpoint: self.saved,
            examples: examples.collect(),
        })
    }

    /// Loss summed over the target tokens of all micro-batches, and its gradients. They are divided
    /// by the number of these tokens once it is known of the whole step: the mean of micro-batch
    /// means would give a token in a short batch more weight than one in a long batch.
    fn gradients(&self, batches: &[Batch]) -> (f64, GradientsParams) {
        let mut accumulated = GradientsAccumulator::new();
        let mut loss = 0.0;
        for batch in batches {
            let (sum, gradients) = self.objective.gradients(&self.parameters, batch);
            loss += sum;
            accumulated.accumulate(&self.parameters, gradients);
        }
        (loss, accumulated.grads())
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let Some(dir) = &self.dir else { return Ok(()) };
        let unwritable = |error: burn::store::RecordError| TrainError::Malformed {
            path: dir.path().to_owned(),
            reason: error.to_string(),
        };
        dir.save(&Checkpoint {
            step: self.completed,
            parameters: self
                .parameters
                .clone()
                .into_record()
                .into_bytes()
                .map_err(unwritable)?,
            optimizer: self.optimizer.into_bytes().map_err(unwritable)?,
        })?;
        self.saved = self.completed;
        Ok(())
    }

    fn resume(&mut self) -> Result<(), TrainError> {
        let Some(dir) = &mut self.dir else {
            return Ok(());
        };
        let Some(checkpoint) = dir.latest()? else {
            return dir.rewind_metrics(0);
        };
        let foreign = |error: burn::store::RecordError| TrainError::Malformed {
            path: dir.path().to_owned(),
            reason: format!("the checkpoint does not fit what is trained: {error}"),
        };
        let record = ModuleRecord::from_bytes(checkpoint.parameters).map_err(foreign)?;
        self.parameters = self
            .parameters
            .clone()
            .try_load_record(record)
            .map_err(foreign)?;
        // Loaded parameters may have other ids than those that the optimiser was made for.
        self.optimizer = self
            .config
            .optimizer(&self.parameters)
            .from_bytes(checkpoint.optimizer)
            .map_err(foreign)?;
        self.schedule = self.config.schedule(checkpoint.step)?;
        self.completed = checkpoint.step;
        self.saved = checkpoint.step;
        dir.rewind_metrics(checkpoint.step)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::{Device, Tensor};
    use calm_data::TokenizedExample;
    use calm_models::{Decoder, DecoderConfig};

    use super::*;
    use crate::LanguageModelling;

    fn example(length: u32) -> TokenizedExample {
        TokenizedExample {
            ids: (1..=length).map(|id| (id * id) % 16).collect(),
            target_start: 2,
        }
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
        let trainer = Trainer::new(&objective, decoder.clone(), config, None).unwrap();
        let (loss, mut gradients) = trainer.gradients(batches);
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
