//! A run that was interrupted ends like one that was not, bit for bit.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use crate::common::{
    bits, bridges, bridges_with, config, data, decoder, dying_at, open, parts, train,
};
use burn::tensor::Device;
use calm_backend::FloatType;
use calm_compose::{BridgeOptions, Gate, LoraPlan, OutputInit};
use calm_data::{Batch, TokenizedExample};
use calm_models::Decoder;
use calm_train::{
    BridgeTraining, Event, EventKind, LanguageModelling, Objective, OptimizerKind, Outcome, RunDir,
    Schedule, StepMetrics, TrainConfig, Trainer,
};

/// Records of a metrics file, without the time.
fn recorded(path: &Path) -> Vec<(usize, u32, u64, u64)> {
    let lines = RunDir::read_metrics(path)
        .unwrap()
        .into_iter()
        .map(|metrics| {
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
    let mut trainer = Trainer::new(objective, parameters, config(), open(path)).unwrap();
    trainer
        .run(&dying_at(17), |_| ControlFlow::Continue(()))
        .unwrap_err();
    assert_eq!(trainer.completed(), 8);
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
    let noisy = BridgeTraining::new(&exact).with_noise(0.3);
    assert_resumes(&noisy, bridges, kill, 5);
    let (with, _) = train(&noisy, bridges(1), None, &data()).unwrap();
    let (without, _) = train(&exact, bridges(1), None, &data()).unwrap();
    assert_ne!(bits(&with), bits(&without));
}

#[test]
fn bridges_of_every_kind_after_a_kill() {
    let plain = BridgeOptions::paper();
    let all = BridgeOptions {
        d_inner: Some(12),
        anchor_norm: true,
        augmenting_norm: true,
        output_norm: true,
        bias: true,
        alibi: true,
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
fn muon_and_every_schedule_after_a_stop() {
    for schedule in [Schedule::Linear, Schedule::Cosine, Schedule::Constant] {
        assert_muon_resumes(&TrainConfig {
            optimizer: OptimizerKind::Muon,
            schedule,
            ..config()
        });
    }
}

fn assert_muon_resumes(config: &TrainConfig) {
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

/// Events of a run, with the steps.
fn events(path: &Path) -> Vec<(usize, EventKind)> {
    let events = RunDir::read_events(path).unwrap().into_iter();
    events
        .map(|Event { step, kind, .. }| (step, kind))
        .collect()
}

#[test]
fn what_happens_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    kill(&parts(), bridges(1), dir.path());
    let failed = EventKind::Failed {
        reason: "data: killed".to_owned(),
    };
    assert_eq!(
        events(dir.path()),
        [
            (0, EventKind::Started),
            (5, EventKind::Checkpoint),
            (8, failed)
        ]
    );
    stop(&parts(), bridges(1), dir.path());
    let newest = dir.path().join("checkpoints/00000007/checkpoint.json");
    fs::remove_file(&newest).unwrap();
    let (_, steps) = train(&parts(), bridges(1), open(dir.path()), &data()).unwrap();
    assert_eq!(steps[0].step, 6);
    let events = events(dir.path());
    let EventKind::FellBack { from: 7, reason } = &events[3].1 else {
        panic!("{events:?}");
    };
    assert!(reason.contains("checkpoint.json"), "{reason}");
    let resumed = |lost_steps| (5, EventKind::Resumed { lost_steps });
    assert_eq!(events[2], resumed(3), "what was told of lost steps is gone");
    assert_eq!(events[4], resumed(2));
    let rest = [10, 15, 20].map(|step| (step, EventKind::Checkpoint));
    assert_eq!(events[5..8], rest);
    assert_eq!(events[8..], [(20, EventKind::Finished)]);
}

#[test]
fn metrics_count_tokens_and_padding() {
    let example = |length: u32| TokenizedExample::new((1..=length).collect(), 2);
    let rows = [example(4), example(9), example(6)];
    let batches = |_| Ok(Batch::collate(rows.iter().enumerate(), 0));
    let (_, steps) = train(&parts(), bridges(1), None, &batches).unwrap();
    for metrics in steps {
        // Two batches of three rows; the last token of each is only ever a target.
        assert_eq!(metrics.tokens, 2 * (3 + 8 + 5));
        assert_eq!(metrics.positions, 2 * 3 * 8);
        assert_eq!(metrics.target_tokens, 2 * (2 + 7 + 4));
        if cfg!(target_os = "linux") {
            assert!(metrics.peak_memory_mib.unwrap() > 1.0);
        }
    }
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
