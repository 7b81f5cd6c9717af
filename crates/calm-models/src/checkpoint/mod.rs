//! Checkpoints: weights out of files, and into them.

mod blocks;
mod convert;
mod gguf;
mod header;
mod load;
mod other;
mod packed;
mod problem;
mod safetensors;
mod save;
mod source;

use std::path::Path;
use std::sync::Arc;

pub(crate) use self::convert::StorageType;
pub(crate) use self::gguf::Gguf;
pub use self::gguf::GgufError;
#[cfg(feature = "hub")]
pub(crate) use self::gguf::parts as parts_of_gguf;
pub use self::header::HeaderError;
pub(crate) use self::load::{check_tensors, load, settle_head, stored_type};
use self::other::ADAPTER_CONFIG;
pub use self::other::OtherWeights;
pub use self::problem::WeightProblem;
pub(crate) use self::safetensors::Safetensors;
#[cfg(feature = "hub")]
pub(crate) use self::safetensors::{INDEX, SINGLE, file_names};
pub(crate) use self::save::{sha256_of_memory, write};
pub(crate) use self::source::TensorSource;
use crate::files::is_there;
use crate::{ModelError, warn};

/// Opens the weights in `dir`.
pub(crate) fn open(dir: &Path) -> Result<Arc<dyn TensorSource>, ModelError> {
    let source = Safetensors::open(dir)?;
    if is_there(&dir.join(ADAPTER_CONFIG)) {
        let dir = dir.display();
        warn::once(format!(
            "{dir}: the adapter of {ADAPTER_CONFIG} is not applied"
        ));
    }
    Ok(Arc::new(source))
}
