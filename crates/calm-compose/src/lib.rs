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
//! [arXiv 2401.02412]: https://arxiv.org/abs/2401.02412

mod bridge;
mod bridges;
mod cache;
mod composed;
mod connection;
mod error;
mod file;
mod lora;
mod tensors;
mod verify;

pub use bridge::{Bridge, BridgeConfig};
pub use bridges::Bridges;
pub use cache::ComposedCache;
pub use composed::{Augmenting, ComposedModel, FrozenParts};
pub use connection::{Connection, ConnectionPlan};
pub use error::ComposeError;
pub use file::{CompositionFile, ModelReference};
pub use lora::LoraPlan;
pub use verify::{TensorDeviation, Verification, verify};
