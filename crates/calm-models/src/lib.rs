//! Frozen decoders from Hugging Face checkpoints.
//!
//! [`FrozenModel::load`] reads a directory (`config.json`, `model.safetensors` or its shards,
//! `tokenizer.json`) into a [`Decoder`], whose blocks can be run a few at a time over hidden
//! states: that is what composing models needs of one, and all that it sees. Every family is read
//! into the same decoder by way of a [`DecoderConfig`] that leaves nothing open; a family is one
//! file that reads its settings and names its tensors.
//!
//! ```
//! use burn::tensor::{Device, Int, Tensor};
//! use calm_models::{Context, Decoder, DecoderConfig, PaddingMask};
//!
//! let device = Device::default();
//! let config = DecoderConfig::llama(320, 48, 4, 4); // vocabulary, width, blocks, heads
//! let decoder = Decoder::untrained(&config, 7, &device);
//!
//! let ids = Tensor::<2, Int>::from_ints([[1, 5, 9]], &device);
//! let context = Context::new(&decoder, &PaddingMask::none(1, 3), None);
//! let hidden = decoder.run(0..2, decoder.embed(ids, &context), &context, None);
//! let hidden = decoder.run(2..4, hidden, &context, None); // … changed in between, perhaps
//! assert_eq!(decoder.finish(hidden).dims(), [1, 3, 320]);
//! ```
//!
//! Besides: [`generate`] continues prompts, with caches, for anything that is a [`CausalLm`];
//! [`verify`] holds a checkpoint against values computed elsewhere; [`CheckpointInfo`] describes one
//! without loading it; [`FrozenModel::save`] writes what `transformers` opens.
//!
//! Nothing read from a file is believed: sizes, offsets, shapes and ids are checked before use,
//! settings that might change the numbers and are not known are errors, and every [`ModelError`]
//! says in one line which file is wrong, and how.

mod config;
mod decoder;
mod error;
mod family;
mod files;
mod frozen;
mod generate;
mod info;
mod padding;
mod tokenizer;
mod verify;
mod weights;

pub use config::{
    Activation, BlockConfig, ConfigError, DecoderConfig, NormKind, RopeConfig, RopeScaling,
    SpecialIds,
};
pub use decoder::{Attention, Block, Cache, Context, Decoder, FeedForward, KvCache, Norm};
pub use error::ModelError;
pub use family::Family;
pub use frozen::{FrozenModel, LoadOptions};
pub use generate::{CausalLm, Continuation, GenerateOptions, generate};
pub use info::CheckpointInfo;
pub use padding::PaddingMask;
pub use tokenizer::{Encoded, Tokenizer};
pub use verify::{Deviation, GreedyCheck, Verification, verify};
pub use weights::{HeaderError, WeightProblem};
