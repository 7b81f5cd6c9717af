//! Validation chooses the result, stops early, and is resumed with the run.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{bits, bridges, config, data, decoder, dying_at, open, parts};
use burn::tensor::Device;
use calm_compose::Bridges;
use calm_data::{Batch, TokenizedExample};
use calm_train::{
    BatchSource, EventKind, HeldOut, LanguageModelling, Metric, Objective, Outcome, RunDir, Score,
    TrainConfig, TrainError, Trainer, Validator,
};

/// A number that hangs on every bit of the parameters, so that any step may be the best.
struct Chaotic;

impl Validator<Bridges> for &Chaotic {
    fn validate(&self, bridges: &Bridges) -> Result<Score, TrainError> {
        let hash = bits(bridges).iter().flatten().fold(17u64, |hash, bits| {
            (hash ^ u64::from(*bits)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let (loss, metric) = ((hash >> 40) as f64, None);
        Ok(Score {
            loss,
            masked_loss: None,
            metric,
        })
    }
}

/// Validated after every third step, a checkpoint after every fifth.
fn often() -> TrainConfig {
    TrainConfig {
        validation_steps: Some(3),
        ..config()
    }
}

/// Trains from any parameters until it ends, fails, or `until`.
fn train(
    config: TrainConfig,
    validator: impl Validator<Bridges>,
    dir: Option<RunDir>,
    data: &impl BatchSource,
    until: usize,
) -> Result<(Outcome, Vec<Vec<u32>>), TrainError> {
    let objective = parts();
    let trainer = Trainer::new(&objective, bridges(1), config, dir)?;
    let mut trainer = trainer.validated_by(Box::new(validator));
    let outcome = trainer.run(data, |metrics| match metrics.step == until {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })?;
    Ok((outcome, bits(&trainer.into_parameters())))
}

/// Losses, or scores, of one validation after the other, whose parameters are remembered.
struct Told {
    is_scored: bool,
    seen: RefCell<Vec<Vec<Vec<u32>>>>,
}

const TOLD: [f64; 7] = [3.0, 1.0, 4.0, 1.5, 9.0, 2.5, 5.0];

impl Validator<Bridges> for &Told {
    fn validate(&self, bridges: &Bridges) -> Result<Score, TrainError> {
        let mut seen = self.seen.borrow_mut();
        let value = TOLD[seen.len()];
        seen.push(bits(bridges));
        let metric = self.is_scored.then(|| Metric {
            name: "told".to_owned(),
            value,
        });
        let loss = value;
        Ok(Score {
            loss,
            masked_loss: None,
            metric,
        })
    }
}

#[test]
fn the_result_is_the_best_by_loss_or_by_score() {
    for (is_scored, best) in [(false, 1), (true, 4)] {
        let seen = RefCell::default();
        let told = Told { is_scored, seen };
        let (outcome, found) = train(often(), &told, None, &data(), 0).unwrap();
        assert_eq!(outcome, Outcome::Finished);
        let seen = told.seen.into_inner();
        assert_eq!(seen.len(), 7, "after 3, 6, 9, 12, 15, 18 and 20 steps");
        assert!(found == seen[best]);
        assert!(found != seen[6], "the last is not the best");
    }
}

/// Records of validations, without the time.
fn recorded(path: &Path) -> Vec<(usize, u64)> {
    let found = RunDir::read_validations(path).unwrap().into_iter();
    found
        .map(|found| (found.step, found.loss.to_bits()))
        .collect()
}

#[test]
fn validation_is_resumed_with_the_run() {
    let straight = tempfile::tempdir().unwrap();
    let chaotic = Chaotic;
    let whole = train(often(), &chaotic, open(straight.path()), &data(), 0).unwrap();
    for stop in [1, 3, 5, 8, 12, 15, 17, 19] {
        let stopped = tempfile::tempdir().unwrap();
        let (outcome, _) = train(often(), &chaotic, open(stopped.path()), &data(), stop).unwrap();
        assert_eq!(outcome, Outcome::Interrupted);
        let rest = train(often(), &chaotic, open(stopped.path()), &data(), 0).unwrap();
        assert!(rest == whole, "stopped at {stop}");
        assert_eq!(recorded(stopped.path()), recorded(straight.path()));

        let killed = tempfile::tempdir().unwrap();
        train(
            often(),
            &chaotic,
            open(killed.path()),
            &dying_at(2 * stop),
            0,
        )
        .unwrap_err();
        let rest = train(often(), &chaotic, open(killed.path()), &data(), 0).unwrap();
        assert!(rest == whole, "killed at {stop}");
        assert_eq!(recorded(killed.path()), recorded(straight.path()));
    }
    let again = train(often(), &chaotic, open(straight.path()), &data(), 0).unwrap();
    assert!(again == whole, "a finished run has the same result");
}

/// Says what it was told to say.
struct Scripted(RefCell<Vec<f64>>);

impl Scripted {
    fn new(losses: &[f64]) -> Self {
        Self(RefCell::new(losses.iter().rev().copied().collect()))
    }
}

impl Validator<Bridges> for &Scripted {
    fn validate(&self, _: &Bridges) -> Result<Score, TrainError> {
        let loss = self.0.borrow_mut().pop().unwrap();
        Ok(Score {
            loss,
            masked_loss: None,
            metric: None,
        })
    }
}

#[test]
fn a_run_that_no_longer_improves_stops_early_wherever_it_was_resumed() {
    let config = TrainConfig {
        patience: Some(2),
        ..often()
    };
    let losses = [3.0, 2.0, f64::NAN, 1.0, 1.5, 1.2, 0.5];
    for stop in [0, 4, 13, 15, 16] {
        let dir = tempfile::tempdir().unwrap();
        let script = Scripted::new(&losses);
        let train = |until| train(config.clone(), &script, open(dir.path()), &data(), until);
        if stop > 0 {
            assert_eq!(train(stop).unwrap().0, Outcome::Interrupted);
        }
        let (outcome, found) = train(0).unwrap();
        assert_eq!(outcome, Outcome::StoppedEarly);
        let steps = RunDir::read_metrics(dir.path()).unwrap().len();
        assert_eq!(steps, 18, "two validations after that of step 12");
        let (outcome, again) = train(0).unwrap();
        assert_eq!(outcome, Outcome::StoppedEarly, "it stays stopped");
        assert!(again == found);
        let events = RunDir::read_events(dir.path()).unwrap();
        let bests = events.iter().filter_map(|event| match event.kind {
            EventKind::Best { loss, .. } => Some((event.step, loss)),
            _ => None,
        });
        assert!(bests.eq([(3, 3.0), (6, 2.0), (12, 1.0)]), "{events:?}");
        assert_eq!(events.last().unwrap().kind, EventKind::StoppedEarly);
        let kept = std::fs::read_dir(dir.path().join("checkpoints")).unwrap();
        let mut kept: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
        kept.sort();
        assert_eq!(kept.len(), 3, "the best and two more: {kept:?}");
        assert!(kept[0] == "00000012" && kept[2] == "00000018", "{kept:?}");
    }
}

#[test]
fn an_error_of_the_validator_ends_the_run() {
    struct Failing;
    impl Validator<Bridges> for Failing {
        fn validate(&self, _: &Bridges) -> Result<Score, TrainError> {
            let source = std::io::Error::other("gone");
            let path = "held-out".into();
            Err(TrainError::Io { path, source })
        }
    }
    let error = train(often(), Failing, None, &data(), 0).unwrap_err();
    assert_eq!(error.to_string(), "held-out: gone");
}

/// One batch of examples with so many tokens.
fn batch(lengths: &[u32]) -> Batch {
    let example =
        |length: &u32| TokenizedExample::new((1..=*length).map(|id| (id * id) % 16).collect(), 2);
    let examples: Vec<_> = lengths.iter().map(example).collect();
    Batch::collate(examples.iter().enumerate(), 0)
}

fn assert_weighted<O: Objective>(objective: &O, parameters: &O::Parameters) {
    let loss = |lengths: &[&[u32]]| {
        let batches = lengths.iter().map(|lengths| batch(lengths)).collect();
        HeldOut::new(objective, batches)
            .validate(parameters)
            .unwrap()
            .loss
    };
    let whole = loss(&[&[4, 12, 9]]);
    let parts = loss(&[&[4], &[12, 9]]);
    assert!((whole - parts).abs() < 1e-6, "{whole} {parts}");
    let mean_of_means = (loss(&[&[4]]) + loss(&[&[12, 9]])) / 2.0;
    assert!(
        (whole - mean_of_means).abs() > 1e-3,
        "a mean of means would be found out"
    );
    let trained: f32 = objective
        .loss(parameters, &batch(&[4, 12, 9]))
        .into_scalar();
    let target_tokens = batch(&[4, 12, 9]).target_tokens() as f64;
    assert!((whole - f64::from(trained) / target_tokens).abs() < 1e-6);
}

#[test]
fn the_loss_is_that_of_training_weighted_by_target_tokens() {
    assert_weighted(&parts(), &bridges(1));
    assert_weighted(&LanguageModelling::default(), &decoder(1));
}

#[test]
fn a_score_is_taken_of_parameters_without_autodiff() {
    let parts = parts();
    let held_out = HeldOut::new(&parts, vec![batch(&[4])]).scored_by(|bridges: &Bridges| {
        let device = bridges.of[0][0].query.weight.val().device();
        Ok(Metric {
            name: "is plain".to_owned(),
            value: f64::from(!device.is_autodiff()),
        })
    });
    assert!(Device::default().autodiff().is_autodiff());
    let metric = held_out.validate(&bridges(1)).unwrap().metric.unwrap();
    assert_eq!((metric.name.as_str(), metric.value), ("is plain", 1.0));
}
