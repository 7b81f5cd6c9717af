//! Cleaning of corpora: steps that judge a text or a pair by itself, and what compares all texts with
//! each other or with benchmarks.
//!
//! | item | does |
//! | --- | --- |
//! | [`steps`], [`code`] | judge pairs and texts of languages, and files of code, one by one |
//! | [`ExactDuplicates`] | finds texts that are the same |
//! | [`MinHash`], [`NearDuplicates`] | find texts that resemble each other |
//! | [`Contamination`] | finds texts that are in a benchmark |
//! | [`Words`] | what texts are compared by |
//! | [`Spill`] | sorts more than fits in memory |
//!
//! All but the steps know nothing of languages and pairs: they serve any corpus. No result depends on
//! the number of threads or on the memory that is given.

mod benchmarks;
pub mod code;
mod contamination;
mod exact;
mod marks;
mod minhash;
mod near;
mod spill;
pub mod steps;
mod words;

pub use benchmarks::{benchmark_files, contamination};
pub use contamination::Contamination;
pub use exact::{ExactDuplicates, key};
pub use marks::Marks;
pub use minhash::{GramUnit, MinHash, MinHashConfig, Sketch, similarity};
pub use near::NearDuplicates;
pub use spill::{Sorted, Spill};
pub use words::Words;
