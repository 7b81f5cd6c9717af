//! A small composition, data for it, and settings, for several test files.

use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::Device;
use calm_compose::{Augmenting, BridgeConfig, BridgeOptions, Bridges, Connection, FrozenParts};
use calm_data::{Batch, Batches, TokenizedExample};
use calm_models::{Decoder, DecoderConfig};
pub(crate) use calm_testing::bits;
use calm_testing::llama;
use calm_train::{BatchSource, Objective, RunDir, StepMetrics, TrainConfig, TrainError, Trainer};
use serde_json::json;

/// An anchor of 3 blocks of width 16 that reads one of 2 blocks of width 8 twice.
pub(crate) fn parts() -> FrozenParts {
    let augmenting = Augmenting::new(llama(16, [8, 2, 2], 1), connections());
    FrozenParts {
        anchor: llama(16, [16, 3, 4], 0),
        augmenting: vec![augmenting],
    }
}

fn connections() -> Vec<Connection> {
    vec![[1, 1].into(), [2, 2].into()]
}

pub(crate) fn bridges(seed: u64) -> Bridges {
    bridges_with(BridgeOptions::paper(), seed)
}

pub(crate) fn bridges_with(options: BridgeOptions, seed: u64) -> Bridges {
    let config = BridgeConfig {
        options,
        ..BridgeConfig::new(8, 16, 2)
    };
    let device = Device::default().autodiff();
    Bridges::init(&[(config, connections())], seed, &device).unwrap()
}

/// A decoder in training.
pub(crate) fn decoder(seed: u64) -> Decoder {
    let device = Device::default().autodiff();
    Decoder::untrained(&DecoderConfig::llama(16, 8, 2, 2), seed, &device)
}

/// Eleven examples of different lengths, three to a batch: the last batch of an epoch is short.
pub(crate) fn data() -> impl Fn(usize) -> Result<Batch, TrainError> {
    let examples = (0..11).map(|number: u32| {
        TokenizedExample::new(
            (0..5 + number % 4)
                .map(|i| 1 + (number * 7 + i * i) % 15)
                .collect(),
            2,
        )
    });
    let batches = Batches::new(examples.collect(), 3, 0, 4);
    move |number| Ok(batches.batch(number)?)
}

pub(crate) fn config() -> TrainConfig {
    TrainConfig {
        steps: 20,
        accumulation: 2,
        learning_rate: 1e-2,
        warmup_steps: 4,
        checkpoint_steps: 5,
        ..TrainConfig::default()
    }
}

pub(crate) fn open(path: &Path) -> Option<RunDir> {
    let settings = json!({"train": config()});
    Some(RunDir::open(path, &settings, &json!(null)).unwrap())
}

/// The process dies when it asks for this batch.
pub(crate) fn dying_at(number: usize) -> impl Fn(usize) -> Result<Batch, TrainError> {
    let batches = data();
    move |asked| {
        if asked == number {
            let source = std::io::Error::other("killed");
            let path = "data".into();
            return Err(TrainError::Io { path, source });
        }
        batches(asked)
    }
}

/// Trains to the end, or to the first error.
pub(crate) fn train<O: Objective>(
    objective: &O,
    parameters: O::Parameters,
    dir: Option<RunDir>,
    batches: &impl BatchSource,
) -> Result<(O::Parameters, Vec<StepMetrics>), TrainError> {
    let mut seen = Vec::new();
    let mut trainer = Trainer::new(objective, parameters, config(), dir)?;
    trainer.run(batches, |metrics| {
        seen.push(metrics.clone());
        ControlFlow::Continue(())
    })?;
    Ok((trainer.into_parameters(), seen))
}
