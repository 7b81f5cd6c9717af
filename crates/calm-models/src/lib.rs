//! Frozen decoders from Hugging Face checkpoints.

mod config;
mod decoder;
mod error;
mod family;
mod files;
mod frozen;
mod generate;
mod padding;
mod tokenizer;
mod verify;
mod weights;

pub use config::{ConfigError, DecoderConfig, RopeConfig, RopeScaling, SpecialIds};
pub use decoder::{Attention, Block, Cache, Context, Decoder, FeedForward, KvCache, RmsNorm};
pub use error::ModelError;
pub use family::Family;
pub use frozen::{FrozenModel, LoadOptions};
pub use generate::{CausalLm, Continuation, GenerateOptions, generate};
pub use padding::PaddingMask;
pub use tokenizer::{Encoded, Tokenizer};
pub use verify::{Deviation, GreedyCheck, Verification, verify};
pub use weights::{HeaderError, WeightProblem};
