//! Weights in safetensors files: one file, or several with an index.

mod checkpoint;
mod convert;
mod header;
mod load;
mod problem;
mod save;

pub(crate) use checkpoint::Checkpoint;
#[cfg(feature = "hub")]
pub(crate) use checkpoint::{INDEX, SINGLE, file_names};
pub(crate) use convert::Stored;
pub use header::HeaderError;
pub(crate) use load::{check_tensors, load, settle_head};
pub use problem::WeightProblem;
pub(crate) use save::{sha256_of_memory, write};
