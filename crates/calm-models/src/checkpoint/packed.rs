//! Weights that would have to be computed out of several tensors: quantised ones, and unmerged adapters.

use super::{OtherWeights, TensorSource};
use crate::ModelError;

/// Ends of the names of tensors that stand for a matrix that is not there: those of GPTQ, AWQ,
/// bitsandbytes, fine-grained FP8, compressed-tensors, HQQ and MLX.
const QUANTISED: [&str; 12] = [
    ".qweight",
    ".qzeros",
    ".scales",
    ".g_idx",
    ".absmax",
    ".quant_map",
    ".SCB",
    ".weight_scale",
    ".weight_scale_inv",
    ".weight_packed",
    ".W_q",
    "_blocks",
];

/// Parts of the names of an adapter's tensors.
const ADAPTED: [&str; 3] = [".lora_A.", ".lora_B.", ".lora_magnitude_vector."];

/// Refuses weights that would have to be computed out of several tensors.
pub(super) fn refuse_packed(source: &dyn TensorSource) -> Result<(), ModelError> {
    let (dir, names) = (source.path().to_owned(), source.names());
    let find = |is_such: &dyn Fn(&str) -> bool| names.iter().copied().find(|name| is_such(name));
    if find(&|name| ADAPTED.iter().any(|part| name.contains(part))).is_some() {
        let adapter = OtherWeights::adapter(&dir);
        let found = adapter.unwrap_or(OtherWeights::Adapter { base: None });
        return Err(ModelError::NoModel { dir, found });
    }
    match find(&|name| QUANTISED.iter().any(|end| name.ends_with(end))) {
        Some(tensor) => Err(ModelError::Quantised {
            dir,
            tensor: tensor.to_owned(),
        }),
        None => Ok(()),
    }
}
