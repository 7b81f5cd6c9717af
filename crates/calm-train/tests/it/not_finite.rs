//! A loss or a gradient that is not a number stops a run before it does harm.

use std::cell::RefCell;
use std::ops::{ControlFlow, RangeInclusive};

use crate::common::{bits, bridges, config, data, dying_at, open, parts, train};
use burn::tensor::Tensor;
use calm_compose::{Bridges, FrozenParts};
use calm_data::Batch;
use calm_train::{
    BatchSource, EventKind, Objective, Outcome, RunDir, Score, TrainConfig, TrainError, Trainer,
    Validator,
};

/// How a batch is spoilt.
#[derive(Clone, Copy)]
enum Poison {
    Loss,
    /// The square root has an infinite slope at zero, and zero times infinity is NaN.
    GradientOnly,
}

/// Training of bridges that goes wrong over one example.
struct Poisoned {
    parts: FrozenParts,
    poison: Poison,
}

const POISONED: usize = 99;

impl Objective for Poisoned {
    type Parameters = Bridges;

    fn loss(&self, bridges: &Bridges, batch: &Batch) -> Tensor<1> {
        let loss = self.parts.loss(bridges, batch);
        if !batch.examples.contains(&POISONED) {
            return loss;
        }
        match self.poison {
            Poison::Loss => loss * f32::NAN,
            Poison::GradientOnly => loss.clone() + (loss * 0.0).sqrt(),
        }
    }
}

/// The data with the poison in batch 14, which is the first of step 8.
fn poisoned_data(number: usize) -> Result<Batch, TrainError> {
    poisoned_steps(8..=8)(number)
}

/// The data with the poison in the first batch of each of these steps.
fn poisoned_steps(steps: RangeInclusive<usize>) -> impl Fn(usize) -> Result<Batch, TrainError> {
    let data = data();
    move |number| {
        let mut batch = data(number)?;
        if number % 2 == 0 && steps.contains(&(number / 2 + 1)) {
            batch.examples[0] = POISONED;
        }
        Ok(batch)
    }
}

fn skipping(limit: usize) -> TrainConfig {
    TrainConfig {
        skip_not_finite: limit,
        validation_steps: Some(1),
        ..config()
    }
}

/// Notes down the parameters after every step.
#[derive(Default)]
struct Watch(RefCell<Vec<Vec<Vec<u32>>>>);

impl Validator<Bridges> for &Watch {
    fn validate(&self, bridges: &Bridges) -> Result<Score, TrainError> {
        self.0.borrow_mut().push(bits(bridges));
        Ok(Score {
            loss: 1.0,
            masked_loss: None,
            metric: None,
        })
    }
}

fn poisoned(poison: Poison) -> Poisoned {
    let parts = parts();
    Poisoned { parts, poison }
}

#[test]
fn a_step_that_is_skipped_moves_nothing_and_is_counted() {
    for poison in [Poison::Loss, Poison::GradientOnly] {
        let (objective, watch) = (poisoned(poison), Watch::default());
        let dir = tempfile::tempdir().unwrap();
        let trainer = Trainer::new(&objective, bridges(1), skipping(1), open(dir.path())).unwrap();
        let mut trainer = trainer.validated_by(Box::new(&watch));
        let outcome = trainer.run(&poisoned_data, |_| ControlFlow::Continue(()));
        assert_eq!(outcome.unwrap(), Outcome::Finished);
        assert_eq!((trainer.completed(), trainer.skipped()), (20, 1));

        let after = watch.0.take();
        for step in 1..20 {
            assert_eq!(after[step] == after[step - 1], step + 1 == 8, "step {step}");
        }
        let metrics = RunDir::read_metrics(dir.path()).unwrap();
        let skipped = metrics.iter().map(|metrics| metrics.skipped);
        assert!(skipped.eq((1..=20).map(|step| usize::from(step >= 8))));
        assert!(metrics[7].gradient_norm.is_nan());
        let (_, undisturbed) = train(&parts(), bridges(1), None, &data()).unwrap();
        for (found, expected) in metrics.iter().zip(undisturbed) {
            assert_eq!(found.learning_rate, expected.learning_rate);
        }
        let events = RunDir::read_events(dir.path()).unwrap();
        let mut skips = events.iter().filter_map(|event| match &event.kind {
            EventKind::Skipped { reason } => Some((event.step, reason)),
            _ => None,
        });
        let (step, reason) = skips.next().unwrap();
        assert!(
            step == 8 && reason.contains("NaN") && reason.contains("99"),
            "{reason}"
        );
        assert_eq!(skips.next(), None);
    }
}

/// Trains until it ends or fails.
fn train_skipping(
    limit: usize,
    dir: Option<RunDir>,
    data: &impl BatchSource,
) -> Result<Vec<Vec<u32>>, TrainError> {
    let objective = poisoned(Poison::Loss);
    let config = TrainConfig {
        validation_steps: None,
        ..skipping(limit)
    };
    let mut trainer = Trainer::new(&objective, bridges(1), config, dir)?;
    trainer.run(data, |_| ControlFlow::Continue(()))?;
    Ok(bits(&trainer.into_parameters()))
}

#[test]
fn a_run_that_skipped_is_resumed_as_it_was() {
    let expected = train_skipping(1, None, &poisoned_steps(8..=8)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dying = dying_at(17);
    let poisoned = poisoned_steps(8..=8);
    let both = |number| dying(number).and_then(|_| poisoned(number));
    train_skipping(1, open(dir.path()), &both).unwrap_err();
    let found = train_skipping(1, open(dir.path()), &poisoned).unwrap();
    assert!(found == expected);
    assert_eq!(RunDir::read_metrics(dir.path()).unwrap()[19].skipped, 1);
}

#[test]
fn too_many_in_a_row_stop_the_run_however_often_it_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let error = train_skipping(2, open(dir.path()), &poisoned_steps(9..=11)).unwrap_err();
        let TrainError::TooManySkipped { skipped: 2, last } = &error else {
            panic!("{error}");
        };
        assert!(matches!(
            **last,
            TrainError::NotFinite {
                step: 11,
                checkpoint: 10,
                ..
            }
        ));
        assert!(
            error
                .to_string()
                .starts_with("2 steps in a row were skipped"),
            "{error}"
        );
    }
    let apart = |number: usize| {
        poisoned_steps(9..=10)(number).and_then(|batch| match number {
            22 => poisoned_steps(12..=12)(number),
            _ => Ok(batch),
        })
    };
    train_skipping(2, None, &apart).unwrap();
}

fn assert_stops(poison: Poison, expected: &str) {
    let objective = poisoned(poison);
    let dir = tempfile::tempdir().unwrap();
    let stopped = train(&objective, bridges(1), open(dir.path()), &poisoned_data);
    let Err(error) = stopped else {
        panic!("trained on");
    };
    let TrainError::NotFinite {
        quantity,
        value,
        step,
        checkpoint,
        examples,
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*quantity, *step, *checkpoint), (expected, 8, 5));
    assert!(value.is_nan());
    let both: Vec<usize> = [14, 15]
        .iter()
        .flat_map(|number| poisoned_data(*number).unwrap().examples)
        .collect();
    assert_eq!(examples, &both, "those of all micro-batches of the step");
    assert!(error.to_string().contains("NaN at step 8"), "{error}");

    // The checkpoint is whole: without the poison the run goes on from it to its proper end.
    let (found, steps) = train(&parts(), bridges(2), open(dir.path()), &data()).unwrap();
    assert_eq!(steps[0].step, 6);
    let (expected, _) = train(&parts(), bridges(1), None, &data()).unwrap();
    assert!(bits(&found) == bits(&expected));
}

#[test]
fn a_loss_that_is_not_a_number() {
    assert_stops(Poison::Loss, "loss");
}

#[test]
fn a_gradient_that_is_not_a_number() {
    assert_stops(Poison::GradientOnly, "gradient norm");
}
