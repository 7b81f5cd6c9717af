//! Checkpoints: weights out of files, and into them.

mod convert;
mod header;
mod load;
mod other;
mod problem;
mod safetensors;
mod save;
mod source;

use std::path::Path;
use std::sync::Arc;

pub(crate) use self::convert::StorageType;
pub use self::header::HeaderError;
pub(crate) use self::load::{check_tensors, load, settle_head, stored_type};
pub use self::other::OtherWeights;
pub use self::problem::WeightProblem;
pub(crate) use self::safetensors::Safetensors;
#[cfg(feature = "hub")]
pub(crate) use self::safetensors::{INDEX, SINGLE, file_names};
pub(crate) use self::save::{sha256_of_memory, write};
pub(crate) use self::source::TensorSource;
use crate::ModelError;

/// Opens the weights in `dir`.
pub(crate) fn open(dir: &Path) -> Result<Arc<dyn TensorSource>, ModelError> {
    Ok(Arc::new(Safetensors::open(dir)?))
}
