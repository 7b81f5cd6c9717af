//! Batches that are spread over workers train to what one device trains to with all of them.

use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{bits, bridges, data, parts};
use burn::tensor::Device;
use calm_compose::Bridges;
use calm_data::Batch;
use calm_train::{
    BatchSource, BridgeTraining, GradientSum, LocalWorker, RankBatches, RankOptions, Ranks,
    RemoteWorker, RunDir, StepMetrics, TrainConfig, TrainError, Trainer, Worker, WorkerError,
    WorkerServer,
};
use serde_json::{Value, json};

/// Five batches a step, of unequal numbers of target tokens, so that workers have unequal shares.
fn config() -> TrainConfig {
    TrainConfig {
        accumulation: 5,
        steps: 8,
        checkpoint_steps: 3,
        ..crate::common::config()
    }
}

fn settings() -> Value {
    json!({"train": config(), "data_sha256": "of the data"})
}

fn options(token: Option<&str>) -> RankOptions {
    RankOptions {
        token: token.map(str::to_owned),
        patience: Duration::from_secs(2),
    }
}

/// A worker that is no other process, but might be: what it has is its own.
struct Helper {
    address: String,
    thread: thread::JoinHandle<Result<(), TrainError>>,
}

impl Helper {
    fn listening(
        token: Option<&'static str>,
        settings: Value,
        batches: impl BatchSource + Send + 'static,
    ) -> Self {
        let server = WorkerServer::bind("127.0.0.1:0", options(token)).unwrap();
        let address = server.address().to_string();
        let thread = thread::spawn(move || {
            let parts = parts();
            let objective = BridgeTraining::new(&parts);
            let mut ranks = Ranks::new(vec![local(&objective, 1)]);
            server.serve(bridges(9), &settings, &batches, &mut ranks, |_| {})
        });
        Self { address, thread }
    }

    fn connect(&self, token: Option<&str>, settings: &Value) -> Result<RemoteWorker, TrainError> {
        RemoteWorker::connect(&self.address, &options(token), settings)
    }
}

fn local<'a>(objective: &'a BridgeTraining<'a>, threads: usize) -> Box<dyn Worker<Bridges> + 'a> {
    Box::new(LocalWorker::new("cpu", objective, &Device::default(), threads).unwrap())
}

fn open(path: &Path) -> Option<RunDir> {
    Some(RunDir::open(path, &settings(), &json!(null)).unwrap())
}

/// Trains with these workers, or without any.
fn train(
    workers: Vec<Box<dyn Worker<Bridges> + '_>>,
    dir: Option<RunDir>,
) -> Result<(Bridges, Vec<StepMetrics>), TrainError> {
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    let mut trainer = Trainer::new(&objective, bridges(1), config(), dir)?;
    if !workers.is_empty() {
        trainer = trainer.shared_among(Ranks::new(workers));
    }
    let mut seen = Vec::new();
    trainer.run(&data(), |metrics| {
        seen.push(metrics.clone());
        ControlFlow::Continue(())
    })?;
    Ok((trainer.into_parameters(), seen))
}

fn curve(steps: &[StepMetrics]) -> Vec<(u32, u64)> {
    let point = |step: &StepMetrics| (step.loss.to_bits(), step.gradient_norm.to_bits());
    steps.iter().map(point).collect()
}

#[test]
fn any_number_of_local_workers_gives_the_same_bits() {
    let (alone, expected) = train(Vec::new(), None).unwrap();
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    for threads in [&[2][..], &[1, 1], &[1, 2, 1], &[1; 5], &[1; 7]] {
        let workers = threads.iter().map(|threads| local(&objective, *threads));
        let (shared, found) = train(workers.collect(), None).unwrap();
        assert_eq!(curve(&found), curve(&expected), "{threads:?}");
        assert!(bits(&shared) == bits(&alone), "{threads:?}");
    }
}

/// The batches of a step as one.
fn merged() -> impl Fn(usize) -> Result<Batch, TrainError> {
    let batches = data();
    move |step| {
        let parts =
            (0..config().accumulation).map(|nth| batches(step * config().accumulation + nth));
        let parts = parts.collect::<Result<Vec<Batch>, _>>()?;
        let rows = parts.iter().flat_map(|part| {
            part.texts()
                .zip(part.prompts())
                .enumerate()
                .map(|(row, (inputs, prompt))| {
                    let last = (row + 1) * part.length;
                    let target = part
                        .loss_positions
                        .iter()
                        .rposition(|at| (*at as usize) < last);
                    let ids = inputs
                        .iter()
                        .copied()
                        .chain(target.map(|at| part.targets[at]));
                    calm_data::TokenizedExample::new(ids.collect(), prompt)
                })
        });
        let rows: Vec<_> = rows.collect();
        Ok(Batch::collate(rows.iter().enumerate(), 0))
    }
}

#[test]
fn two_devices_train_as_one_with_the_larger_batch() {
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    let (_, found) = train(vec![local(&objective, 1), local(&objective, 1)], None).unwrap();
    let large = TrainConfig {
        accumulation: 1,
        ..config()
    };
    let mut trainer = Trainer::new(&objective, bridges(1), large, None).unwrap();
    let mut expected = Vec::new();
    trainer
        .run(&merged(), |metrics| {
            expected.push(metrics.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.target_tokens, expected.target_tokens);
        let difference = (found.loss - expected.loss).abs();
        assert!(difference < 1e-5, "step {}: {difference}", found.step);
    }
    let unequal: Vec<usize> = (0..5).map(|n| data()(n).unwrap().target_tokens()).collect();
    assert!(
        unequal.iter().any(|tokens| *tokens != unequal[0]),
        "{unequal:?}"
    );
}

/// Says of every batch the mean instead of the sum.
struct MeanOfMeans<'a>(Box<dyn Worker<Bridges> + 'a>);

impl Worker<Bridges> for MeanOfMeans<'_> {
    fn name(&self) -> &str {
        "mean"
    }

    fn gradients(
        &mut self,
        bridges: Bridges,
        assigned: RankBatches<'_>,
    ) -> Result<Vec<GradientSum>, WorkerError> {
        let all: usize = assigned.batches.iter().map(Batch::target_tokens).sum();
        let mut means = Vec::new();
        for (nth, batch) in assigned.batches.iter().enumerate() {
            let one = RankBatches {
                first: assigned.first + nth,
                batches: std::slice::from_ref(batch),
                ..assigned
            };
            let weight = all as f64 / (assigned.batches.len() * batch.target_tokens()) as f64;
            let mut sums = self.0.gradients(bridges.clone(), one)?;
            sums[0].loss *= weight;
            means.append(&mut sums);
        }
        Ok(means)
    }
}

#[test]
fn a_mean_of_means_would_be_found_out() {
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    let (_, expected) = train(Vec::new(), None).unwrap();
    let (_, found) = train(vec![Box::new(MeanOfMeans(local(&objective, 1)))], None).unwrap();
    assert!((found[0].loss - expected[0].loss).abs() > 1e-3);
}

#[test]
fn workers_behind_a_socket_give_the_same_bits() {
    let (alone, expected) = train(Vec::new(), None).unwrap();
    let helpers =
        [Some("secret"), None].map(|token| (token, Helper::listening(token, settings(), data())));
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    let mut workers = vec![local(&objective, 1)];
    for (token, helper) in &helpers {
        workers.push(Box::new(helper.connect(*token, &settings()).unwrap()));
    }
    let (shared, found) = train(workers, None).unwrap();
    assert_eq!(curve(&found), curve(&expected));
    assert!(bits(&shared) == bits(&alone));
    for (_, helper) in helpers {
        helper.thread.join().unwrap().unwrap();
    }
}

/// Breaks the connection when it is asked for this batch.
fn failing_at(number: usize) -> impl Fn(usize) -> Result<Batch, TrainError> + Send {
    let batches = crate::common::dying_at(number);
    move |asked| batches(asked)
}

#[test]
fn a_worker_that_fails_is_named_and_the_run_goes_on_without_it() {
    let straight = tempfile::tempdir().unwrap();
    let (expected, curve_expected) = train(Vec::new(), open(straight.path())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let parts = parts();
    let objective = BridgeTraining::new(&parts);
    let helper = Helper::listening(None, settings(), failing_at(5 * 4 + 3));
    let remote = Box::new(helper.connect(None, &settings()).unwrap());
    let lost = train(vec![local(&objective, 1), remote], open(dir.path())).unwrap_err();
    assert!(
        matches!(
            lost,
            TrainError::WorkerLost {
                step: 5,
                checkpoint: 3,
                ..
            }
        ),
        "{lost}"
    );
    let message = lost.to_string();
    for words in [
        helper.address.as_str(),
        "killed",
        "step 5",
        "that of step 3",
    ] {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
    // It has gone back to listening, but the run can do without.
    let (resumed, rest) = train(vec![local(&objective, 1)], open(dir.path())).unwrap();
    assert!(bits(&resumed) == bits(&expected));
    assert_eq!(curve(&rest), curve(&curve_expected)[3..]);
    assert!(!helper.thread.is_finished());
}

#[test]
fn strangers_and_workers_of_other_runs_are_refused() {
    let helper = Helper::listening(Some("secret"), settings(), data());
    for token in [None, Some("guess"), Some("")] {
        let refused = helper.connect(token, &settings()).unwrap_err();
        let is_token = matches!(
            refused,
            TrainError::Worker {
                source: WorkerError::Unauthorized,
                ..
            }
        );
        assert!(is_token, "{refused}");
    }
    let mut other = settings();
    other["data_sha256"] = json!("of other data");
    let refused = helper
        .connect(Some("secret"), &other)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("data_sha256: \"of the data\" there, \"of other data\" here"),
        "{refused}"
    );
    assert!(refused.contains(&helper.address), "{refused}");
    // What it has been through has not hurt it.
    assert!(helper.connect(Some("secret"), &settings()).is_ok());
}

#[test]
fn nonsense_and_silence_end_in_time() {
    // Somebody who is no worker: closes, says nothing, or says something else.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let begun = Instant::now();
    let silent = RemoteWorker::connect(&address, &options(None), &settings()).unwrap_err();
    assert!(
        matches!(
            &silent,
            TrainError::Worker {
                source: WorkerError::Silent { seconds: 2 },
                ..
            }
        ),
        "{silent}"
    );
    drop(nobody);
    let refused = RemoteWorker::connect(&address, &options(None), &settings()).unwrap_err();
    assert!(
        matches!(
            &refused,
            TrainError::Worker {
                source: WorkerError::Unreachable { .. },
                ..
            }
        ),
        "{refused}"
    );
    assert!(begun.elapsed() < Duration::from_secs(8));
    for address in ["nowhere", "127.0.0.1:0:0", "a b:1", ""] {
        let refused = RemoteWorker::connect(address, &options(None), &settings()).unwrap_err();
        assert!(matches!(refused, TrainError::Worker { .. }), "{refused}");
    }

    let helper = Helper::listening(None, settings(), data());
    for nonsense in ["", "GET / HTTP/1.1\r\n\r\n", "\0\u{1}\u{2}", "hello\n"] {
        let mut stream = TcpStream::connect(&helper.address).unwrap();
        std::io::Write::write_all(&mut stream, nonsense.as_bytes()).unwrap();
    }
    assert!(helper.connect(None, &settings()).is_ok());
}
