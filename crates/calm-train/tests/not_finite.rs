//! A loss or a gradient that is not a number stops a run before it does harm.

mod common;

use burn::tensor::Tensor;
use calm_compose::{Bridges, FrozenParts};
use calm_data::Batch;
use calm_train::{Objective, TrainError};
use common::{bits, bridges, data, open, parts, train};

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
    let mut batch = data()(number)?;
    if number == 14 {
        batch.examples[0] = POISONED;
    }
    Ok(batch)
}

fn assert_stops(poison: Poison, expected: &str) {
    let objective = Poisoned {
        parts: parts(),
        poison,
    };
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
