//! Data for composing language models, from a corpus or a builder to batches, without any model code.
//!
//! | module | holds |
//! | --- | --- |
//! | [`kv`] | builder of the paper's key-value arithmetic (section 4.1), its mixtures and curricula |
//! | [`corpus`] | readers of files: [`jsonl`], literals of Python, archives, published [`benchmarks`] |
//! | [`cleaning`] | steps that clean corpora: what is dropped, duplicates, decontamination |
//! | [`ExampleReader`] | examples of JSON Lines, JSON arrays, CSV and Parquet, in the forms that people write |
//! | [`RowSet`] | hashes of examples, to find out whether others are among them |
//! | [`bundle`] | TOML files that are part of the program |
//! | [`Mixture`] | parts of a dataset by their shares |
//! | [`Tokenize`], [`Tokenizing`], [`DataFile`] | texts to token ids, in memory or through a cache |
//! | [`Masking`] | words of prompts that one side of a composition is not shown |
//! | [`Batches`] | [`Examples`] to batches, in an order that a seed fixes, one or several to a row |
//!
//! ```
//! use calm_data::kv::{KeyPool, KvConfig, KvDataset, KvTask};
//!
//! let dataset = KvDataset::new(KvConfig::laptop())?;
//! let example = dataset.example(KvTask::KvArithmetic, KeyPool::HeldOut, 0);
//! assert_eq!(dataset.answer(&example.target), Some(example.value));
//! # Ok::<(), calm_data::DataError>(())
//! ```

mod batch;
mod batches;
pub mod builders;
pub mod bundle;
pub mod cleaning;
pub mod corpus;
mod error;
mod examples;
mod masking;
mod mixture;
mod packing;
mod row_set;
pub mod sampling;
mod seeded;
mod tokens;

pub use batch::Batch;
pub use batches::Batches;
pub use builders::kv;
pub use corpus::{benchmarks, jsonl};
pub use error::DataError;
pub use examples::{ChatTurn, Conversation, ExampleForm, ExampleReader, Fields, Record};
pub use masking::{Masking, MaskingShares, Placeholders};
pub use mixture::{Mixture, weighted};
pub use row_set::RowSet;
pub use tokens::{
    DataFile, EncodedText, EncodedTurn, Examples, Fitted, HeldOutSplit, RenderChat, Tokenize,
    TokenizeError, Tokenized, TokenizedExample, Tokenizing, TooLong, Word, encode_prompt, tokenize,
};
