//! A run that was interrupted ends like one that was not, bit for bit.

mod common;

use std::cell::Cell;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_backend::FloatType;
use calm_compose::{BridgeOptions, Gate, LoraPlan, OutputInit};
use calm_models::Decoder;
use calm_train::{
    BridgeTraining, LanguageModelling, Objective, OptimizerKind, Outcome, StepMetrics, TrainConfig,
    TrainError, Trainer,
};
use common::{bits, bridges, bridges_with, config, data, decoder, open, parts, train};

/// What a metrics file says, without the time.
fn recorded(path: &Path) -> Vec<(usize, u32, u64, u64)> {
    let text = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let metrics: StepMetrics = serde_json::from_str(line).unwrap();
        (
            metrics.step,
            metrics.loss.to_bits(),
            metrics.gradient_norm.to_bits(),
            metrics.learning_rate.to_bits(),
        )
    });
    lines.collect()
}

/// Trains without interruption, and with one of the given kind; the second process begins with
/// other parameters, which must not matter.
fn assert_resumes<O: Objective>(
    objective: &O,
    fresh: impl Fn(u64) -> O::Parameters,
    interrupt: impl Fn(&O, O::Parameters, &Path),
    resumes_at: usize,
) {
    let straight = tempfile::tempdir().unwrap();
    let (expected, _) = train(objective, fresh(1), open(straight.path()), &data()).unwrap();
    assert_ne!(bits(&expected), bits(&fresh(1)));

    let interrupted = tempfile::tempdir().unwrap();
    interrupt(objective, fresh(1), interrupted.path());
    let dir = open(interrupted.path());
    let (found, steps) = train(objective, fresh(2), dir, &data()).unwrap();
    assert_eq!(steps[0].step, resumes_at + 1);
    assert!(bits(&found) == bits(&expected), "parameters differ");
    assert_eq!(recorded(interrupted.path()), recorded(straight.path()));
    assert_eq!(recorded(interrupted.path()).len(), 20);
}

/// The observer breaks off after step 7, which is then saved.
fn stop<O: Objective>(objective: &O, parameters: O::Parameters, path: &Path) {
    let mut trainer = Trainer::new(objective, parameters, config(), open(path)).unwrap();
    let outcome = trainer.run(&data(), |metrics| {
        if metrics.step == 7 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(outcome.unwrap(), Outcome::Interrupted);
    assert_eq!(trainer.completed(), 7);
}

/// The process dies in step 9: what it did after the checkpoint of step 5 is lost.
fn kill<O: Objective>(objective: &O, parameters: O::Parameters, path: &Path) {
    let (batches, asked) = (data(), Cell::new(0));
    let dying = |number| {
        asked.set(number);
        if number == 17 {
            let source = std::io::Error::other("killed");
            let path = PathBuf::from("data");
            return Err(TrainError::Io { path, source });
        }
        batches(number)
    };
    let mut trainer = Trainer::new(objective, parameters, config(), open(path)).unwrap();
    trainer
        .run(&dying, |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert_eq!((trainer.completed(), asked.get()), (8, 17));
    assert_eq!(recorded(path).len(), 8);
}

#[test]
fn bridges_after_a_stop() {
    assert_resumes(&parts(), bridges, stop, 7);
}

#[test]
fn bridges_after_a_kill() {
    assert_resumes(&parts(), bridges, kill, 5);
}

#[test]
fn bridges_through_noise_after_a_kill() {
    let exact = parts();
    let noisy = BridgeTraining::new(&exact).noise(0.3);
    assert_resumes(&noisy, bridges, kill, 5);
    let (with, _) = train(&noisy, bridges(1), None, &data()).unwrap();
    let (without, _) = train(&exact, bridges(1), None, &data()).unwrap();
    assert_ne!(bits(&with), bits(&without));
}

#[test]
fn bridges_of_every_kind_after_a_kill() {
    let plain = BridgeOptions::default();
    let all = BridgeOptions {
        d_inner: Some(12),
        anchor_norm: true,
        augmenting_norm: true,
        output_norm: true,
        bias: true,
        gate: Gate::Scalar,
        ..plain
    };
    let gated = BridgeOptions {
        gate: Gate::Heads,
        output_init: OutputInit::Random,
        ..plain
    };
    let half = BridgeOptions {
        dtype: FloatType::BF16,
        ..plain
    };
    for options in [all, gated, half] {
        let fresh = |seed| bridges_with(options, seed);
        assert_resumes(&parts(), fresh, kill, 5);
    }
}

#[test]
fn a_whole_model_after_a_kill() {
    assert_resumes(&LanguageModelling::default(), decoder, kill, 5);
}

#[test]
fn a_whole_model_through_noise_after_a_stop() {
    let objective = LanguageModelling {
        local_blocks: 1,
        noise: 0.3,
    };
    assert_resumes(&objective, decoder, stop, 7);
}

#[test]
fn muon_after_a_stop() {
    let config = TrainConfig {
        optimizer: OptimizerKind::Muon,
        ..config()
    };
    let objective = LanguageModelling::default();
    let run = |seed, dir, until| {
        let mut trainer = Trainer::new(&objective, decoder(seed), config.clone(), dir).unwrap();
        let observe = |metrics: &StepMetrics| {
            if metrics.step == until {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        trainer.run(&data(), observe).unwrap();
        trainer.into_parameters()
    };
    let expected = run(1, None, 20);
    let dir = tempfile::tempdir().unwrap();
    run(1, open(dir.path()), 7);
    assert!(bits(&run(2, open(dir.path()), 20)) == bits(&expected));
    let (by_adam, _) = train(&objective, decoder(1), None, &data()).unwrap();
    assert_ne!(bits(&by_adam), bits(&expected));
}

#[test]
fn adapters_after_a_stop() {
    let frozen = parts().anchor;
    let plan = LoraPlan::near(&frozen, 2000).unwrap();
    let adapted = |seed| -> Decoder { plan.apply(&frozen, seed, &Device::default().autodiff()) };
    assert_resumes(&LanguageModelling::default(), adapted, stop, 7);
}

#[test]
fn a_checkpoint_that_is_cut_short_is_passed_over() {
    let kill_in_checkpoint = |objective: &_, parameters, path: &Path| {
        stop(objective, parameters, path);
        let newest = path.join("checkpoints/00000007/optimizer.bpk");
        let bytes = fs::read(&newest).unwrap();
        fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    };
    assert_resumes(&parts(), bridges, kill_in_checkpoint, 5);
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (expected, _) = train(&parts(), bridges(1), open(dir.path()), &data()).unwrap();
    let (found, steps) = train(&parts(), bridges(2), open(dir.path()), &data()).unwrap();
    assert!(steps.is_empty());
    assert!(bits(&found) == bits(&expected));
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    stop(&parts(), bridges(1), dir.path());
    let dir = open(dir.path());
    let objective = LanguageModelling::default();
    let Err(error) = Trainer::new(&objective, decoder(1), config(), dir) else {
        panic!("loaded bridges into a decoder");
    };
    assert!(error.to_string().contains("does not fit"), "{error}");
}
