//! Whole runs: settings in, progress events out, a directory that a killed run goes on from.
//!
//! [`ComposeRun`] trains the bridges of a composition, [`FinetuneRun`] a checkpoint, by low-rank
//! adapters or with all its weights, and [`PretrainRun`] a small model from random weights. All take
//! a settings struct that serde reads, and tell an [`Observer`] how far they are. Models that are
//! loaded already are composed by [`train_bridges`]. [`fit`] trains whatever the caller has an
//! objective for.

mod activations;
mod bridges;
mod compose;
mod config;
mod data;
mod estimate;
mod examples;
mod finetune;
#[cfg(feature = "cli")]
mod flags;
mod flops;
mod footprint;
mod located;
mod masking;
mod plan;
mod pretrain;
mod ranks;
mod record;
mod reference;
mod split;
mod training;
mod tuning;
mod validation;

use std::net::SocketAddr;
use std::ops::ControlFlow;

use burn::tensor::Device;
use calm_models::{Fetching, FrozenModel};

pub use self::bridges::{BridgeTrainingConfig, train_bridges};
pub use self::compose::{ComposeOutcome, ComposeRun};
pub use self::config::{
    ActivationConfig, Baseline, BridgeConfig, BridgeForm, ComposeConfig, DataConfig,
    FinetuneConfig, MaskingConfig, OptimizerConfig, PlaceholderSource, PretrainConfig, RankConfig,
    TrainingConfig, TunedWeights, ValidationConfig, ValidationMetric,
};
pub use self::estimate::{DataEstimate, Estimate, MeasuredMemory, TimeEstimate};
pub use self::examples::ExampleConfig;
pub use self::finetune::FinetuneRun;
pub use self::footprint::{Footprint, MemoryEstimate, ParameterCounts};
pub use self::located::{LocatedExamples, locate_examples};
pub use self::masking::MaskingRecord;
pub use self::pretrain::PretrainRun;
pub use self::record::{
    AddedParameters, BaseModel, BaselineOutcome, BridgeRecord, DataRecord, Environment,
    ModelOutcome, PackedRecord, RunRecord, TuningRecord, ValidationIdentity, commit, program,
};
pub use self::training::{FitOptions, fit};
use crate::{ReferenceLoss, RunSummary, StepMetrics, TrainError, ValidationMetrics, WorkerEvent};

/// Program, device and seed of a run: everything that is not in its settings.
#[derive(Debug, Clone)]
pub struct RunContext {
    /// Device of the anchor and of all that is trained.
    pub device: Device,
    /// Name by which the user asked for the device.
    pub device_name: String,
    /// Fixes initial weights, order of the data and everything else that is drawn.
    pub seed: u64,
    /// Name and version of the program, for records. Another program does not resume the run.
    pub program: String,
}

impl RunContext {
    /// A run of the calling program on this device.
    pub fn new(device: Device, seed: u64) -> Self {
        Self {
            device_name: calm_backend::device_name(&device),
            device,
            seed,
            program: program(),
        }
    }
}

/// Progress of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// A part of a model arrived from the Hub.
    Fetching(Fetching<'a>),
    /// A large data file is tokenised.
    Tokenising {
        /// Bytes that are done.
        done: u64,
        /// Bytes of the file.
        total: u64,
    },
    /// The training data is ready.
    Data(&'a DataRecord),
    /// A loss that the run is measured by, such as that of the anchor alone.
    Reference(&'a ReferenceLoss),
    /// Steps begin.
    Started {
        /// Kind of the run: `compose`, `pretrain`, `lora` or `finetune`.
        name: &'a str,
        /// Steps of the whole run.
        steps: usize,
        /// Steps that are done already.
        completed: usize,
    },
    /// A step is done.
    Step(&'a StepMetrics),
    /// The parameters were validated.
    Validated {
        /// Kind of the run.
        name: &'a str,
        /// Loss and score.
        metrics: &'a ValidationMetrics,
        /// Whether they are the best so far.
        is_best: bool,
    },
    /// The run is over, and this came of it.
    Summary(&'a RunSummary),
    /// This process listens for the run of another one.
    Listening(SocketAddr),
    /// Something happened to the connection with that run.
    Worker {
        /// Address at which this process listens.
        address: SocketAddr,
        /// The event.
        event: WorkerEvent,
    },
}

/// Observes a run. [`ControlFlow::Break`] after a step saves that step and ends the run with
/// [`TrainError::Interrupted`]; after other events it has no effect.
pub trait Observer {
    /// Takes note of an event.
    fn observe(&mut self, event: RunEvent<'_>) -> ControlFlow<()>;
}

impl<F: FnMut(RunEvent<'_>) -> ControlFlow<()>> Observer for F {
    fn observe(&mut self, event: RunEvent<'_>) -> ControlFlow<()> {
        self(event)
    }
}

/// The token that ends a text of a model whose files are in `directory`; of several, the first. The
/// ids of config.json count where generation_config.json names none.
///
/// # Errors
///
/// [`TrainError::Malformed`] if the model names none.
pub fn end_of_text(model: &FrozenModel, directory: &std::path::Path) -> Result<u32, TrainError> {
    let [used, of_model] = [&model.special, &model.config().special].map(|special| &special.eos);
    used.first()
        .or(of_model.first())
        .copied()
        .ok_or_else(|| TrainError::Malformed {
            path: directory.to_owned(),
            reason:
                "neither generation_config.json nor config.json names an eos_token_id, so nothing \
                 tells where an answer ends; add one"
                    .to_owned(),
        })
}
