//! Composition of frozen language models: CALM ([arXiv 2401.02412]), section 3.1.
//!
//! An anchor model m_B reads the hidden states of augmenting models m_A through [`Bridge`]s, each
//! a projection and a cross-attention whose result is added to the anchor's hidden states. Only
//! the bridges are trained.
//!
//! | paper | here | shape |
//! | --- | --- | --- |
//! | m_B | `anchor` | |
//! | m_A | `augmenting` | |
//! | D_B, D_A | `d_anchor`, `d_augmenting` | |
//! | N_H | `heads` | |
//! | H_B, H_A | hidden states | `[batch, seq, d_anchor]`, `[batch, seq, d_augmenting]` |
//! | f_proj | [`Bridge::projection`] | `[d_augmenting, d_anchor]` |
//! | f_cross | [`Bridge::forward`] | |
//! | Θ_C | [`Bridges`] | |
//!
//! | question | file |
//! | --- | --- |
//! | which blocks are connected? | `connection.rs` |
//! | what does a bridge compute? | `bridge.rs`, `options.rs` |
//! | which positions may the anchor see? | `visibility.rs` |
//! | how do decoding and training run? | `forward.rs`, over the `memory.rs` of bridges |
//! | which activations does training cache? | `activations.rs` |
//! | how do models with other tokenizers read? | `tokens/` |
//! | what is in a composition's directory? | `file/`, opened by `located.rs` and `composition.rs` |
//! | what does it cost? | `cost.rs`, `latency.rs` |
//!
//! ```
//! use calm_compose::{Composition, CompositionConfig, ConnectionPlan, LoadedModel};
//! use calm_models::{LoadOptions, SequenceOptions};
//!
//! let options = LoadOptions::default();
//! // Directories in the Hugging Face layout, or hf:owner/name@revision.
//! let load = |name: &str| {
//!     let source = format!("tests/fixtures/checkpoints/{name}").parse()?;
//!     Ok::<_, Box<dyn std::error::Error>>(LoadedModel::load(&source, &options)?)
//! };
//! let specialist = (load("llama3-scaled-tied")?, ConnectionPlan::Every(2));
//! let config = CompositionConfig::default();
//! let composition = Composition::new(load("llama")?, vec![specialist], &config, 0)?;
//! // `train_bridges` of calm-train would train its bridges here.
//!
//! let directory = tempfile::tempdir()?;
//! composition.save(directory.path())?;
//! let opened = Composition::open(directory.path(), &options)?;
//! let mut session = opened.session();
//! session.add_text("HELLO", &SequenceOptions::greedy(8, vec![2]))?;
//! while !session.is_empty() {
//!     for event in session.step()? {
//!         print!("{}", event.text);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [arXiv 2401.02412]: https://arxiv.org/abs/2401.02412

mod activations;
mod bridge;
mod bridges;
mod cache;
mod calibrate;
mod causal_lm;
mod composed;
mod composition;
mod connection;
mod conversation;
mod cost;
mod error;
mod expected;
mod file;
mod forward;
mod import;
mod info;
mod latency;
mod located;
mod lora;
mod memory;
mod mode;
mod options;
mod source;
mod tokens;
mod trace;
mod verify;
mod visibility;

pub use activations::{ActivationSize, CachedActivations, Text};
pub use bridge::{Bridge, BridgeConfig};
pub use bridges::Bridges;
pub use cache::{CacheBytes, ComposedCache};
pub use composed::{Augmenting, ComposedModel, FrozenParts};
pub use composition::{Composition, CompositionConfig, LoadedModel};
pub use connection::{Connection, ConnectionPlan};
pub use conversation::{ChatFormat, ComposedPrompt, PromptTexts};
pub use cost::{BridgesCost, Overhead, TokenCost};
pub use error::ComposeError;
pub use file::{CompositionFile, ModelHashes, ModelReference, TrainingRecord};
pub use forward::TrainableSuffix;
pub use import::{ImportPlan, Imported, Project, check_export, export, import};
pub use info::CompositionInfo;
pub use latency::Latency;
pub use located::{LocatedComposition, ModelSources};
pub use lora::LoraPlan;
pub use memory::Memory;
pub use mode::Mode;
pub use options::{BridgeOptions, Gate, OutputInit, OutputUnit};
pub use tokens::{OwnTokens, PromptText, Rendering, RowTokens};
pub use trace::{BridgeTrace, ModelTrace, Trace};
pub use verify::{TensorDeviation, Verification, verify};
