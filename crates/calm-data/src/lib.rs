//! Data for composing language models, from builder to batch, without any model code.
//!
//! * [`kv`] builds the paper's key-value arithmetic (section 4.1) at any size;
//! * [`jsonl`] reads and writes files of examples;
//! * [`DataFile`] tokenises such a file, however large, and keeps what it came to;
//! * [`Batches`] turns [`Examples`] into batches in an order that a seed fixes.
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
mod batches;
mod cache;
mod data_file;
mod error;
mod examples;
pub mod jsonl;
pub mod kv;
mod tokenize;

pub use batch::Batch;
pub use batches::Batches;
pub use data_file::{DataFile, Tokenized};
pub use error::DataError;
pub use examples::Examples;
pub use tokenize::{Fitted, TokenizedExample, Tokenizing, TooLong, encode_prompt, tokenize};
