//! Joins two models by fresh bridges, trains these, saves the composition, opens it and generates:
//!
//! ```sh
//! cargo run --release --example compose_and_train -- 60 composition
//! ```
//!
//! The anchor adds numbers and knows no keys; the augmenting model knows the value of every key and
//! cannot add. 60 steps only begin what takes 250 or more: see docs/table1.md.

use std::ops::ControlFlow;
use std::path::Path;

use calm_lm::Error;
use calm_lm::compose::{Composition, CompositionConfig, Connection, ConnectionPlan, LoadedModel};
use calm_lm::data::kv::{EOS_ID, KeyPool, KvConfig, KvDataset, KvTask, PAD_ID};
use calm_lm::data::{Batches, Examples, tokenize};
use calm_lm::models::{LoadOptions, SequenceOptions};
use calm_lm::train::runs::{BridgeTrainingConfig, RunEvent, train_bridges};
use calm_lm::train::{DataTokenizer, OptimizerKind, TrainConfig};

const ROWS: usize = 32;
const CONTEXT: usize = 64;

/// Both models with a bridge for each pair of blocks.
pub(crate) fn joined(checkpoints: &Path) -> Result<Composition, Error> {
    let options = LoadOptions::default();
    let load = |name: &str| -> Result<LoadedModel, Error> {
        let path = checkpoints.join(name).display().to_string();
        Ok(LoadedModel::load(&path.parse()?, &options)?)
    };
    let pairs = [[1, 1], [2, 1], [1, 2], [2, 2]].map(Connection::from);
    let plan = ConnectionPlan::Explicit(pairs.to_vec());
    let augmenting = vec![(load("kv-augmenting")?, plan)];
    let config = CompositionConfig::default();
    Ok(Composition::new(
        load("kv-anchor")?,
        augmenting,
        &config,
        0,
    )?)
}

/// Sums over keys such as `kip + qat =`, as batches of the anchor's tokens.
pub(crate) fn sums(
    composition: &Composition,
    pool: KeyPool,
    count: usize,
) -> Result<Batches, Error> {
    let data = KvDataset::new(KvConfig::laptop())?;
    let tokenizer = DataTokenizer(composition.tokenizer());
    let examples = (0..count).map(|number| {
        let example = data.example(KvTask::KvArithmetic, pool, number as u64);
        let (prompt, target) = (&example.prompt, &example.target);
        tokenize(&tokenizer, number, prompt, target, EOS_ID, CONTEXT)
    });
    let examples = examples.collect::<Result<Examples, _>>()?;
    Ok(Batches::new(examples, ROWS, PAD_ID, 0))
}

/// Trains and saves; returns the loss of every step, in nats per target token.
pub(crate) fn train(checkpoints: &Path, steps: usize, out: &Path) -> Result<Vec<f32>, Error> {
    let composition = joined(checkpoints)?;
    let batches = sums(&composition, KeyPool::HeldIn, steps * ROWS)?;
    let train = TrainConfig {
        optimizer: OptimizerKind::Muon,
        learning_rate: 4e-3,
        warmup_steps: steps / 10,
        ..TrainConfig::default().with_steps(steps)
    };
    let config = BridgeTrainingConfig {
        train,
        noise: 0.05,
        ..BridgeTrainingConfig::default()
    };
    let mut losses = Vec::new();
    let mut observer = |event: RunEvent<'_>| {
        if let RunEvent::Step(metrics) = event {
            losses.push(metrics.loss);
        }
        ControlFlow::Continue(())
    };
    let trained = train_bridges("sums", composition, &batches, &config, None, &mut observer)?;
    trained.save(out)?;
    Ok(losses)
}

/// The continuation of a saved composition.
pub(crate) fn generate(composition: &Path, prompt: &str) -> Result<String, Error> {
    let opened = Composition::open(composition, &LoadOptions::default())?;
    let mut session = opened.session();
    session.add_text(prompt, &SequenceOptions::greedy(8, vec![EOS_ID]))?;
    let mut text = String::new();
    while !session.is_empty() {
        session.step()?.iter().for_each(|event| text += &event.text);
    }
    Ok(text)
}

#[expect(clippy::print_stdout, reason = "it is what the program is for")]
fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let steps = arguments.next().and_then(|steps| steps.parse().ok());
    let out = arguments.next().unwrap_or("composition".to_owned());
    let checkpoints = Path::new("datasets/checkpoints");
    let losses = train(checkpoints, steps.unwrap_or(60), out.as_ref())?;
    for (step, loss) in losses.iter().enumerate().step_by(10) {
        println!("step {:3}: {loss:.3} nats per token", step + 1);
    }
    let data = KvDataset::new(KvConfig::laptop())?;
    let example = data.example(KvTask::KvArithmetic, KeyPool::HeldOut, 0);
    let answer = generate(out.as_ref(), &example.prompt)?;
    println!(
        "{} {}, and it should be {}",
        example.prompt,
        answer.trim(),
        example.target
    );
    Ok(())
}
