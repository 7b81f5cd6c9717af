//! Holding a checkpoint against values that another implementation computed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::Serialize;

use crate::checkpoint::{Safetensors, TensorSource};
use crate::{
    CausalLm, Context, Decoder, FrozenModel, LoadOptions, ModelError, PaddingMask, SequenceOptions,
    generate,
};

/// Name of the file beside a checkpoint that holds what [`verify`] compares with.
pub const EXPECTED_FILE: &str = "expected.safetensors";

/// Deviation of one tensor from its expected values.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// `hidden_0` (the embeddings) to `hidden_L` (the output of block L), or `logits`.
    pub name: String,
    /// `‖found - expected‖ / ‖expected‖` over real positions; NaN if a found value is NaN.
    pub relative: f64,
}

/// Whether greedy decoding gave the expected tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GreedyCheck {
    /// Tokens compared.
    pub tokens: usize,
    /// 0-based place of the first token that differs, when decoding with a cache.
    pub cached_differs_at: Option<usize>,
    /// The same when every token is decoded from the whole text.
    pub uncached_differs_at: Option<usize>,
}

/// Comparison of a checkpoint with its expected values.
#[derive(Debug, Clone, PartialEq)]
pub struct Verification {
    /// One entry per tensor, in the order of the computation.
    pub deviations: Vec<Deviation>,
    /// Greedy decoding of the first row.
    pub greedy: GreedyCheck,
}

impl Verification {
    /// Whether every tensor is within the relative `tolerance` and all tokens are the same.
    pub fn is_within(&self, tolerance: f64) -> bool {
        // NaN is within nothing.
        self.deviations
            .iter()
            .all(|deviation| deviation.relative <= tolerance)
            && self.greedy.cached_differs_at.is_none()
            && self.greedy.uncached_differs_at.is_none()
    }
}

/// Compares the checkpoint at `path` with the `expected.safetensors` in it, or beside a file, which holds
/// `input_ids` and `attention_mask` `[batch, seq]`, `hidden_0` … `hidden_L`
/// `[batch, seq, d_model]`, `logits` `[batch, seq, vocab]`, and in `greedy` `[1, n]` the
/// continuation of the first row.
///
/// Only real positions are compared: what a model computes for padding has no meaning.
///
/// # Errors
///
/// [`ModelError`] if the checkpoint can't be loaded or the expected values are incomplete.
pub fn verify(path: &Path, options: &LoadOptions) -> Result<Verification, ModelError> {
    verify_against(path, &expected_file(path), options)
}

/// The `expected.safetensors` of a checkpoint: in its directory, or beside its file.
pub fn expected_file(path: &Path) -> PathBuf {
    let beside = match path.parent() {
        Some(parent) if path.is_file() => parent,
        _ => path,
    };
    beside.join(EXPECTED_FILE)
}

/// [`verify`] with expected values of another file.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_against(
    path: &Path,
    expected: &Path,
    options: &LoadOptions,
) -> Result<Verification, ModelError> {
    let expected = Expected::open(expected)?;
    let model = FrozenModel::load(path, options)?;
    let decoder = &model.decoder;
    let batch = expected.batch(decoder)?;
    let mut deviations = Vec::new();
    for (name, found) in hidden_states_and_logits(decoder, &batch, &options.device) {
        let relative = expected.deviation(&name, found, &batch.padding)?;
        deviations.push(Deviation { name, relative });
    }
    let greedy = expected.ids("greedy")?.1;
    let prompt = batch.prompt();
    let cached = continue_cached(decoder, &prompt, greedy.len())?;
    let uncached = continue_uncached(decoder, &prompt, greedy.len(), &options.device)?;
    let greedy = GreedyCheck {
        tokens: greedy.len(),
        cached_differs_at: first_difference(&cached, &greedy),
        uncached_differs_at: first_difference(&uncached, &greedy),
    };
    Ok(Verification { deviations, greedy })
}

/// The batch that the expected values are for.
pub(crate) struct Batch {
    /// `[batch, seq]`, row by row.
    pub(crate) ids: Vec<u32>,
    pub(crate) padding: PaddingMask,
}

impl Batch {
    /// The real tokens of the first row.
    pub(crate) fn prompt(&self) -> Vec<u32> {
        let row = self.padding.row(0);
        self.ids
            .iter()
            .zip(row)
            .filter(|(_, real)| **real)
            .map(|(id, _)| *id)
            .collect()
    }
}

pub(crate) fn hidden_states_and_logits(
    decoder: &Decoder,
    batch: &Batch,
    device: &Device,
) -> Vec<(String, Tensor<3>)> {
    let context = Context::new(decoder, &batch.padding, None);
    let shape = [batch.padding.batch(), batch.padding.seq()];
    let mut hidden = decoder.embed(id_tensor(&batch.ids, shape, device), &context);
    let mut tensors = vec![("hidden_0".to_owned(), hidden.clone())];
    for block in 0..decoder.block_count() {
        hidden = decoder.run(block..block + 1, hidden, &context, None);
        tensors.push((format!("hidden_{}", block + 1), hidden.clone()));
    }
    tensors.push(("logits".to_owned(), decoder.finish(hidden)));
    tensors
}

pub(crate) fn continue_cached(
    decoder: &Decoder,
    prompt: &[u32],
    max_new_tokens: usize,
) -> Result<Vec<u32>, ModelError> {
    let options = SequenceOptions::greedy(max_new_tokens, Vec::new());
    let continuations = generate(decoder, &[prompt.to_vec()], &options)?;
    Ok(continuations
        .into_iter()
        .flat_map(|continuation| continuation.ids)
        .collect())
}

fn continue_uncached(
    decoder: &Decoder,
    prompt: &[u32],
    max_new_tokens: usize,
    device: &Device,
) -> Result<Vec<u32>, ModelError> {
    let mut ids = prompt.to_vec();
    // As far as decoding with a cache goes.
    let room = decoder.context_length().saturating_sub(prompt.len());
    for _ in 0..max_new_tokens.min(room) {
        let shape = [1, ids.len()];
        let padding = PaddingMask::none(1, ids.len());
        let text = id_tensor(&ids, shape, device);
        let hidden = decoder.hidden_states(text, &padding, None)?;
        let last = hidden.narrow(1, ids.len() - 1, 1).squeeze_dim::<2>(1);
        let next = decoder.finish_positions(last).argmax(1);
        ids.extend(
            next.try_into_vec_as::<u32>()
                .map_err(|source| ModelError::Device { source })?,
        );
    }
    Ok(ids.split_off(prompt.len()))
}

fn id_tensor(ids: &[u32], shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    Tensor::from_data(TensorData::new(ids, shape), device)
}

fn first_difference(found: &[u32], expected: &[u32]) -> Option<usize> {
    let differs = found
        .iter()
        .zip(expected)
        .position(|(found, expected)| found != expected);
    let shorter = found.len().min(expected.len());
    differs.or((found.len() != expected.len()).then_some(shorter))
}

/// The file of expected values.
struct Expected {
    path: PathBuf,
    tensors: Safetensors,
}

impl Expected {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            tensors: Safetensors::open_file(directory, name)?,
        })
    }

    fn invalid(&self, reason: String) -> ModelError {
        ModelError::Fixture {
            path: self.path.clone(),
            reason,
        }
    }

    fn batch(&self, decoder: &Decoder) -> Result<Batch, ModelError> {
        let (shape, ids) = self.ids("input_ids")?;
        let (mask_shape, mask) = self.ids("attention_mask")?;
        if shape != mask_shape || shape.contains(&0) {
            let reason = format!(
                "input_ids are {shape:?}, attention_mask {mask_shape:?}; both must be alike"
            );
            return Err(self.invalid(reason));
        }
        let vocab_size = decoder.config().vocab_size;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab_size) {
            let reason = format!("input id {id} is outside the vocabulary of {vocab_size} tokens");
            return Err(self.invalid(reason));
        }
        let [batch, seq] = shape;
        let limit = decoder.config().position_limit();
        if let Some(limit) = limit.filter(|limit| seq > *limit) {
            let reason = format!("rows have {seq} positions, the model holds {limit}");
            return Err(self.invalid(reason));
        }
        let padding = PaddingMask::new(batch, seq, |row, position| mask[row * seq + position] != 0);
        Ok(Batch { ids, padding })
    }

    /// A matrix of ids.
    fn ids(&self, name: &str) -> Result<([usize; 2], Vec<u32>), ModelError> {
        let Some(tensor) = self.tensors.tensor(name) else {
            return Err(self.invalid(format!("tensor {name} is missing")));
        };
        let (info, bytes) = (tensor.info, tensor.bytes()?);
        let (&[rows, columns], "I64") = (info.shape.as_slice(), info.dtype.as_str()) else {
            let reason = format!(
                "tensor {name} is {} {:?}, not a matrix of I64",
                info.dtype, info.shape
            );
            return Err(self.invalid(reason));
        };
        let (ids, _) = bytes.as_chunks::<8>();
        let ids: Result<Vec<u32>, _> = ids
            .iter()
            .map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)))
            .collect();
        let ids =
            ids.map_err(|_| self.invalid(format!("tensor {name} holds ids that are none")))?;
        Ok(([rows, columns], ids))
    }

    fn deviation(
        &self,
        name: &str,
        found: Tensor<3>,
        padding: &PaddingMask,
    ) -> Result<f64, ModelError> {
        let shape = found.dims();
        let Some(tensor) = self.tensors.tensor(name) else {
            return Err(self.invalid(format!("tensor {name} is missing")));
        };
        let has_shape = tensor.info.shape == shape;
        let expected = if has_shape { tensor.to_f32()? } else { None };
        let Some(expected) = expected else {
            let (dtype, found) = (&tensor.info.dtype, &tensor.info.shape);
            let reason = format!("tensor {name} is {dtype} {found:?}, not F32 {shape:?}");
            return Err(self.invalid(reason));
        };
        let found = found
            .try_into_vec_as::<f32>()
            .map_err(|source| ModelError::Device { source })?;
        Ok(relative_error(&found, &expected, shape, padding))
    }
}

fn relative_error(
    found: &[f32],
    expected: &[f32],
    [_, seq, width]: [usize; 3],
    padding: &PaddingMask,
) -> f64 {
    let positions = found.chunks(width).zip(expected.chunks(width)).enumerate();
    let real = positions.filter(|(i, _)| padding.row(i / seq)[i % seq]);
    let (mut difference, mut norm) = (0.0, 0.0);
    for (found, expected) in real.flat_map(|(_, (found, expected))| found.iter().zip(expected)) {
        difference += (f64::from(*found) - f64::from(*expected)).powi(2);
        norm += f64::from(*expected).powi(2);
    }
    (difference / norm).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_ignore_padding() {
        let padding = PaddingMask::left(&[1, 2]);
        let expected = [9.0, 9.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0];
        let mut found = expected;
        found[0] = 1000.0;
        found[7] = 0.5;
        assert_eq!(relative_error(&found, &expected, [2, 2, 2], &padding), 0.1);
        found[7] = f32::NAN;
        assert!(relative_error(&found, &expected, [2, 2, 2], &padding).is_nan());
    }

    #[test]
    fn differences_in_length_count() {
        assert_eq!(first_difference(&[1, 2], &[1, 2]), None);
        assert_eq!(first_difference(&[1, 2], &[1, 3]), Some(1));
        assert_eq!(first_difference(&[1], &[1, 3]), Some(1));
    }
}
