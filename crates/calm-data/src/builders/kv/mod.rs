//! Key-value arithmetic (section 4.1 of the paper).
//!
//! A secret table gives every key, a string of 2 to 6 letters that is one token, an integer of its
//! own. Three tasks share one set of expressions over keys:
//!
//! | task | prompt | target |
//! | --- | --- | --- |
//! | KV-Substitution | `fig + ned - pal :` | `183 + 236 - 78` |
//! | Numeric-Arithmetic | `183 + 236 - 78 =` | `1 4 3 0` |
//! | KV-Arithmetic | `fig + ned - pal =` | `1 4 3 0` |
//!
//! How numbers are written is decided in `notation.rs` and nowhere else. Keys are split into
//! held-in and held-out ones; what a composition is trained on holds held-in keys only, what it is
//! tested on held-out keys only.
//!
//! Example `i` of a task is a pure function of the seed and `i`, so that examples can be drawn in
//! any order, by any number of threads, and without end.

mod build;
mod config;
mod curriculum;
mod dataset;
mod expression;
mod mixture;
mod notation;
mod vocabulary;

pub use build::{BUILDER_VERSION, KvSizes, build};
pub use config::KvConfig;
pub use curriculum::{CONTEXT, Curriculum, Lesson};
pub use dataset::{Example, ExampleKind, KeyPool, KvDataset, KvTask};
pub use expression::Operator;
pub use mixture::DataMixture;
pub use vocabulary::{BOS, BOS_ID, EOS, EOS_ID, PAD, PAD_ID, UNKNOWN};
