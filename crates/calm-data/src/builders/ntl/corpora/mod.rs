//! D_NTL and D_C of real corpora: files that a manifest names are read, cleaned and written.
//!
//! Records flow through in chunks: a reader is ahead by a few of them, all threads judge the records
//! of one, and what takes them sees them in their order. So memory does not grow with the corpora,
//! and the bytes that are written depend on no number of threads.

mod build;
mod inputs;

pub use build::{BuildOptions, build};
pub use inputs::sha256_of_inputs;
