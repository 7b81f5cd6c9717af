//! Frozen decoders from Hugging Face checkpoints.

mod config;
mod decoder;
mod error;
mod family;
mod generate;
mod padding;
mod weights;

pub use config::{DecoderConfig, RopeConfig, RopeScaling, SpecialIds};
pub use decoder::{Attention, Block, Cache, Context, Decoder, FeedForward, KvCache, RmsNorm};
pub use error::ModelError;
pub use family::Family;
pub use generate::{CausalLm, Continuation, GenerateOptions, generate};
pub use padding::PaddingMask;
pub use weights::{HeaderError, WeightProblem};
