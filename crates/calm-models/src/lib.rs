//! Frozen decoders from Hugging Face checkpoints.
//!
//! [`FrozenModel::load`] reads a directory (`config.json`, `model.safetensors` or its shards,
//! `tokenizer.json`) into a [`Decoder`], whose blocks can be run a few at a time over hidden
//! states: that is what composing models needs of one, and all that it sees. Every family is read
//! into the same decoder by way of a [`DecoderConfig`] that leaves nothing open; a family is one
//! small file that reads its settings and names its tensors ([`Family`]).
//!
//! ```
//! use std::path::Path;
//!
//! use burn::tensor::{Int, Tensor};
//! use calm_models::{Context, FrozenModel, LoadOptions, PaddingMask};
//!
//! let options = LoadOptions::default(); // which device, which number type
//! let model = FrozenModel::load(Path::new("tests/fixtures/gemma2"), &options)?;
//! let text = model.tokenizer.encode("four words of text", false)?;
//! let ids: Tensor<2, Int> = Tensor::<1, Int>::from_ints(&*text.ids, &options.device).unsqueeze();
//!
//! let decoder = &model.decoder;
//! let context = Context::new(decoder, &PaddingMask::none(1, text.ids.len()), None);
//! let hidden = decoder.run(0..2, decoder.embed(ids, &context), &context, None);
//! assert_eq!(hidden.dims(), [1, 18, 12]); // the second block's output, to be changed perhaps
//! let logits = decoder.finish(decoder.run(2..3, hidden, &context, None));
//! # assert_eq!(logits.dims(), [1, 18, 80]);
//! # Ok::<(), calm_models::ModelError>(())
//! ```
//!
//! A model that is not on this machine is fetched by [`ModelSource::resolve`], which knows names such
//! as `hf:owner/name@revision` (feature `hub`).
//!
//! Besides: a [`Session`] decodes sequences that come and go, with caches, for anything that is a
//! [`CausalLm`]; [`generate`] continues a batch of prompts, and [`generate_text`] shows the text while
//! it is written; [`ChatTemplate`] writes a conversation as a
//! model's prompt; [`verify`] holds a checkpoint against values computed elsewhere, such as those of
//! [`write_expected`];
//! [`CheckpointInfo`] describes one without loading it; [`FrozenModel::save`] writes what
//! `transformers` opens.
//!
//! Nothing read from a file is believed: sizes, offsets, shapes and ids are checked before use,
//! settings that might change the numbers and are not implemented are errors, and every [`ModelError`]
//! says in one line which file is wrong, and how.

mod causal_lm;
mod chat;
mod checkpoint;
mod config;
mod decoder;
mod error;
mod expected;
mod families;
mod files;
mod frozen;
mod hub;
mod info;
mod padding;
mod ranges;
mod session;
mod stored;
mod tokenizer;
mod trees;
mod unique;
mod verify;
mod warn;

pub use causal_lm::CausalLm;
pub use chat::{Chat, ChatTemplate, Message, Role};
pub use checkpoint::{GgufError, HeaderError, OtherWeights, WeightProblem};
pub use config::{
    Activation, AlibiKind, AttentionConfig, BlockConfig, ConfigError, DecoderConfig,
    EmbeddingConfig, EmbeddingScale, ExpertWeights, ExpertsConfig, FeedForwardConfig,
    FeedForwardKind, HeadConfig, NormConfig, NormKind, PositionEmbedding, PositionEncoding, QkNorm,
    ResidualConfig, RopeConfig, RopeScaling, ScoreScale, SpecialIds,
};
pub use decoder::{
    Attention, Block, Cache, ChosenPositions, Context, Decoder, Experts, FeedForward, KvCache,
    Norm, SharedExpert,
};
pub use error::ModelError;
pub use expected::write_expected;
pub use families::{Family, Strictness};
pub use files::open as open_file;
pub use frozen::{FrozenModel, LoadOptions};
pub use hub::{
    DatasetFiles, Fetching, Hub, HubDataset, HubError, HubModel, ModelFiles, ModelSource,
    PinnedFile, SourceError,
};
pub use info::{CheckpointInfo, Part, TensorEntry, WeightFileInfo};
pub use padding::PaddingMask;
pub use session::{
    Answer, AnswerOptions, Continuation, Event, FinishReason, Question, SamplingParams, SequenceId,
    SequenceOptions, Session, SharedPrefix, TextStream, answer, check_prompt, exact_match,
    generate, generate_text, generate_text_after, token_text,
};
pub use tokenizer::{Encoded, GrowingText, Tokenizer};
pub use trees::TokenTrees;
pub use verify::{
    Deviation, EXPECTED_FILE, GreedyCheck, Verification, expected_file, verify, verify_against,
};
