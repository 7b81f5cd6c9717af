//! Data for composing language models, from builder to batch, without any model code.
//!
//! * [`kv`] builds the paper's key-value arithmetic (section 4.1) at any size;
//! * [`jsonl`] reads and writes prompt/target files;
//! * [`TokenizedExample`] and [`Batches`] turn examples into batches in an order that a seed fixes.
//!
//! ```
//! use calm_data::kv::{KeyPool, KvConfig, KvDataset, Task};
//!
//! let dataset = KvDataset::new(KvConfig::laptop())?;
//! let example = dataset.example(Task::KvArithmetic, KeyPool::HeldOut, 0);
//! assert_eq!(dataset.answer(&example.target), Some(example.value));
//! # Ok::<(), calm_data::DataError>(())
//! ```

mod batch;
mod error;
pub mod jsonl;
pub mod kv;

pub use batch::{Batch, Batches, TokenizedExample, encode_prompt, tokenize};
pub use error::DataError;
