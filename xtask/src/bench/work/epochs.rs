//! Training of bridges for some epochs by the fastest way there is: activations are cached, logits
//! are those that carry loss, examples of one length share a batch.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::Device;
use calm_lm::backend::FloatType;
use calm_lm::compose::FrozenParts;
use calm_lm::data::{Batch, Batches, Examples, TokenizedExample};
use calm_lm::train::{
    ActivationCache, ActivationPlace, ActivationPlan, BridgeTraining, HeldOut, StepMetrics,
    TrainConfig, TrainError, Trainer, Validator,
};
use miette::{IntoDiagnostic, Result};

use super::super::texts::Data;
use super::{MeasureArgs, Measured, untrained_bridges};

pub(super) fn measure(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let parts = args.frozen_parts(device)?;
    let bridges = untrained_bridges(&parts, &device.clone().autodiff())?;
    if let Some(path) = &args.write_initial {
        bridges.write(path).into_diagnostic()?;
    }
    let path = args.data.as_deref().expect("clap requires it");
    let data = Data::read(path, parts.anchor.config().vocab_size)?;
    let held_out: Vec<TokenizedExample> = data.held_out.into_iter().map(Into::into).collect();
    let held_out = held_out
        .chunks(args.batch.get())
        .map(|rows| Batch::collate(rows.iter().enumerate(), 0));
    let held_out = HeldOut::new(&parts, held_out.collect());
    let initial_loss = held_out.validate(&bridges).into_diagnostic()?.loss;

    let begun = Instant::now();
    let examples: Examples = data.examples.into_iter().map(Into::into).collect();
    let cache = cache(&parts, &examples).into_diagnostic()?;
    let batches = Batches::new(examples, args.batch.get(), 0, args.seed);
    let objective = BridgeTraining::new(&parts).with_cache(&cache);
    let config = args.train_config(batches.per_epoch());
    let (curve, untimed) = (RefCell::new(Vec::new()), Cell::new(0.0));
    let trainer = Trainer::new(&objective, bridges, config, None).into_diagnostic()?;
    let mut trainer = trainer.validated_by(Box::new(held_out));
    let source = |number| Ok(batches.batch(number)?);
    let go_on = |_: &StepMetrics| ControlFlow::Continue(());
    let trained = trainer.run_observed(&source, go_on, |found, _| {
        untimed.set(untimed.get() + found.seconds);
        let seconds = begun.elapsed().as_secs_f64() - untimed.get();
        curve.borrow_mut().push((found.step, seconds, found.loss));
    });
    trained.into_diagnostic()?;
    drop(trainer);
    let mut measured = Measured::of([
        ("train_s", begun.elapsed().as_secs_f64() - untimed.get()),
        ("padding_share", batches.padding_share()),
        ("kept_mib", (cache.statistics().kept_bytes >> 20) as f64),
    ]);
    measured
        .figures
        .insert("initial_loss".to_owned(), initial_loss);
    measured.step_seconds_loss = curve.into_inner();
    Ok(measured)
}

/// A cache in memory of the states of all examples.
fn cache(parts: &FrozenParts, examples: &Examples) -> Result<ActivationCache, TrainError> {
    let mut plan = ActivationPlan::new(parts, &(), FloatType::F32);
    for example in examples.iter() {
        plan.add_example(&example?, None);
    }
    plan.open(&ActivationPlace::Memory, u64::MAX)
}

impl MeasureArgs {
    fn train_config(&self, steps_per_epoch: usize) -> TrainConfig {
        TrainConfig {
            steps: self.epochs.get() * steps_per_epoch,
            learning_rate: self.learning_rate,
            warmup_steps: 0,
            decay_share: 0.0,
            betas: [0.9, 0.999],
            // Gradients are never as large.
            clip_norm: 1e9,
            validation_steps: Some(self.every.get()),
            seed: self.seed,
            ..TrainConfig::default()
        }
    }
}
