//! One training loop for everything that is trained here: the bridges of a composition, LoRA
//! adapters, whole small models.
//!
//! An [`Objective`] says what is trained and how a batch is scored, a [`BatchSource`] gives the
//! batches, a [`TrainConfig`] fixes everything else, and a [`Trainer`] puts them together. With a
//! [`RunDir`] the run writes checkpoints and goes on from them after any interruption, bit for bit
//! on the processor. [`Ranks`] are the devices and processes that share the batches of every step.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use calm_data::{Batch, TokenizedExample};
//! use calm_models::{Decoder, DecoderConfig};
//! use calm_train::{LanguageModelling, TrainConfig, Trainer};
//!
//! let device = calm_backend::device("cpu")?.autodiff();
//! let decoder = Decoder::untrained(&DecoderConfig::llama(16, 8, 1, 2), 0, &device);
//! let text = TokenizedExample::new(vec![1, 5, 6, 2], 2);
//! let batches = |_| Ok(Batch::collate([(0, &text)], 0));
//! let config = TrainConfig { steps: 3, warmup_steps: 1, ..TrainConfig::default() };
//!
//! let objective = LanguageModelling::default();
//! let mut trainer = Trainer::new(&objective, decoder, config, None)?;
//! trainer.run(&batches, |metrics| {
//!     assert!(metrics.loss.is_finite());
//!     ControlFlow::Continue(())
//! })?;
//! let decoder = trainer.into_parameters();
//! # let _ = decoder;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activations;
mod adamw;
mod chat_tokenizer;
mod config;
mod data_tokenizer;
mod error;
mod gradient;
mod losses;
mod masking;
mod objective;
mod questions;
mod reading;
mod run_dir;
pub mod runs;
mod state;
mod sum;
mod trainer;
mod validation;
mod workers;

pub use activations::{ActivationCache, ActivationPlace, ActivationPlan, ActivationStatistics};
pub use chat_tokenizer::ChatTokenizer;
pub use config::{OptimizerKind, Schedule, TrainConfig};
pub use data_tokenizer::DataTokenizer;
pub use error::TrainError;
pub use losses::{ExampleLoss, example_losses};
pub use masking::AnchorMasking;
pub use objective::{
    BridgeTraining, LanguageModelling, Objective, calibrate, calibrate_trained, read_examples,
};
pub use questions::{AskedExample, Questions};
pub use run_dir::{
    BestValidation, Event, EventKind, Metric, ReferenceLoss, ReferenceModel, RunDescription,
    RunDir, RunFigures, RunLog, RunStatus, RunSummary, StepMetrics, ValidationMetrics,
};
pub use sum::GradientSum;
pub use trainer::{BatchSource, Keep, Outcome, Reference, RunProgress, Trainer};
pub use validation::{HeldOut, Score, Validator};
pub use workers::{
    LocalWorker, RankBatches, RankOptions, Ranks, RemoteWorker, Worker, WorkerError, WorkerEvent,
    WorkerServer,
};
