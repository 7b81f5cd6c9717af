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
//! ```
//! use burn::tensor::Device;
//! use calm_compose::{Augmenting, BridgeConfig, Bridges, ComposedModel, ConnectionPlan, FrozenParts};
//! use calm_models::{Decoder, DecoderConfig, SequenceOptions, generate};
//!
//! let device = Device::default();
//! // Vocabulary, width, blocks, heads. Real ones come from `FrozenModel::load`.
//! let anchor = Decoder::untrained(&DecoderConfig::llama(64, 32, 6, 4), 0, &device);
//! let augmenting = Decoder::untrained(&DecoderConfig::llama(64, 16, 4, 2), 1, &device);
//!
//! let plan = ConnectionPlan::Every(2);
//! let connections = plan.resolve(augmenting.block_count(), anchor.block_count())?;
//! let config = BridgeConfig::new(16, 32, 4);
//! let bridges = Bridges::init(&[(config, connections.clone())], 0, &device)?;
//! assert_eq!(bridges.paper_parameter_count(), 2 * (16 * 32 + 3 * 32 * 32));
//!
//! let parts = FrozenParts { anchor, augmenting: vec![Augmenting::new(augmenting, connections)] };
//! let model = ComposedModel { parts, bridges };
//! let options = SequenceOptions::greedy(5, vec![]);
//! let composed = generate(&model, &[vec![1, 7, 9]], &options)?;
//! // Until the bridges are trained, a composition is its anchor.
//! assert_eq!(composed, generate(&model.parts.anchor, &[vec![1, 7, 9]], &options)?);
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
pub use import::{ImportPlan, Imported, Project, export, import};
pub use info::CompositionInfo;
pub use latency::Latency;
pub use located::{LocatedComposition, ModelSources};
pub use lora::LoraPlan;
pub use memory::Memory;
pub use mode::Mode;
pub use options::{BridgeOptions, Gate, OutputInit};
pub use tokens::{OwnTokens, PromptText, Rendering, RowTokens};
pub use trace::{BridgeTrace, ModelTrace, Trace};
pub use verify::{TensorDeviation, Verification, verify};
