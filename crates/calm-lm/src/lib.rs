//! Composition of frozen language models (CALM, arXiv 2401.02412): the crates of this workspace
//! under one roof. The binary `calm` is built from here.
//!
//! | module | holds |
//! | --- | --- |
//! | [`backend`] | devices by name, number types, transformer operations |
//! | [`models`] | frozen decoders from Hugging Face directories |
//! | [`compose`] | bridges between frozen models |
//! | [`data`] | dataset builders and batches |
//! | [`train`] | the training loop |
//! | [`sandbox`] | generated programs in a process without rights |
//! | [`eval`] | metrics and tasks |
//! | [`files`] | files written whole or not at all, hashes, locks |
//! | [`chart`] | curves and bars as pictures |
//! | [`Error`] | any error of any of them, for programs |
//! | [`terminal`] | progress, Ctrl-C and warnings of programs with a terminal |
//!
//! Complete programs are in `examples/` at the top of the repository.
//!
//! Two checkpoints are loaded, composed, trained on pairs of prompt and target, saved, opened, and
//! generate. [`ComposeRun`](train::runs::ComposeRun) does the same from files, with a directory
//! that an interrupted run goes on from.
//!
//! ```
//! use calm_lm::compose::{Composition, CompositionConfig, ConnectionPlan, LoadedModel};
//! use calm_lm::data::{Batches, Examples, tokenize};
//! use calm_lm::models::{LoadOptions, SequenceOptions};
//! use calm_lm::train::runs::{BridgeTrainingConfig, RunEvent, train_bridges};
//! use calm_lm::train::{DataTokenizer, TrainConfig};
//!
//! // Directories in the Hugging Face layout, or hf:owner/name@revision.
//! let (checkpoints, options) = ("../calm-compose/tests/fixtures/checkpoints", LoadOptions::default());
//! let anchor = LoadedModel::load(&format!("{checkpoints}/llama").parse()?, &options)?;
//! let specialist = format!("{checkpoints}/llama3-scaled-tied").parse()?;
//! let specialist = (LoadedModel::load(&specialist, &options)?, ConnectionPlan::Every(2));
//! let composition = Composition::new(anchor, vec![specialist], &CompositionConfig::default(), 0)?;
//!
//! let tokenizer = DataTokenizer(composition.tokenizer());
//! let pairs = [("HELLO", "WORLD"), ("GOOD", "BYE")].into_iter().enumerate();
//! let examples = pairs.map(|(n, (prompt, target))| tokenize(&tokenizer, n, prompt, target, 2, 128));
//! let batches = Batches::new(examples.collect::<Result<Examples, _>>()?, 2, 0, 0);
//! let train = TrainConfig::default().with_steps(20);
//! let config = BridgeTrainingConfig { train, ..Default::default() };
//! let mut observer = |_: RunEvent<'_>| std::ops::ControlFlow::Continue(());
//! let trained = train_bridges("words", composition, &batches, &config, None, &mut observer)?;
//!
//! let directory = tempfile::tempdir()?;
//! trained.save(directory.path())?;
//! let opened = Composition::open(directory.path(), &options)?;
//! let mut session = opened.session();
//! session.add_text("HELLO", &SequenceOptions::greedy(8, vec![2]))?;
//! while !session.is_empty() {
//!     session.step()?.iter().for_each(|event| print!("{}", event.text));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use burn;
pub use calm_backend as backend;
pub use calm_compose as compose;
pub use calm_data as data;
pub use calm_eval as eval;
pub use calm_experiments as experiments;
pub use calm_experiments::chart;
pub use calm_files as files;
pub use calm_models as models;
pub use calm_sandbox as sandbox;
pub use calm_train as train;

mod error;
pub mod experiment;
pub mod terminal;

pub use error::Error;
