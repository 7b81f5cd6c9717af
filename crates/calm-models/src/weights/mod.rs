//! Weights in safetensors files.

mod header;
mod problem;

pub use header::HeaderError;
pub use problem::WeightProblem;
