//! Tensors of a safetensors file, taken by name until none is left.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use calm_backend::FloatType;
use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::ComposeError;

/// The tensors of a file that have not been taken yet, and the problems so far, so that one error
/// names all of them.
pub(crate) struct NamedTensors<'a> {
    path: &'a Path,
    stored: BTreeMap<String, TensorView<'a>>,
    problems: Vec<String>,
}

impl<'a> NamedTensors<'a> {
    /// The tensors in `bytes`, which were read from `path`.
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, ComposeError> {
        Ok(Self {
            path,
            stored: parse(path, bytes)?.tensors().into_iter().collect(),
            problems: Vec::new(),
        })
    }

    /// Takes a tensor of floats of this name, type and shape.
    pub(crate) fn take_float(
        &mut self,
        name: &str,
        dtype: FloatType,
        shape: &[usize],
    ) -> Option<TensorData> {
        let view = self.take(name, stored_type(dtype))?;
        if view.shape() != shape {
            let found = view.shape();
            self.problem(format!("{name} has shape {found:?}, expected {shape:?}"));
            return None;
        }
        let (bytes, shape) = (view.data(), shape.to_vec());
        Some(match dtype {
            FloatType::F32 => TensorData::new(numbers(bytes, f32::from_le_bytes), shape),
            FloatType::F16 => TensorData::new(numbers(bytes, f16::from_le_bytes), shape),
            FloatType::BF16 => TensorData::new(numbers(bytes, bf16::from_le_bytes), shape),
        })
    }

    /// Takes a tensor of `f32` of this name and shape.
    pub(crate) fn take_f32(&mut self, name: &str, shape: &[usize]) -> Option<TensorData> {
        self.take_float(name, FloatType::F32, shape)
    }

    /// Takes a matrix of integers.
    pub(crate) fn take_i64(&mut self, name: &str) -> Option<([usize; 2], Vec<i64>)> {
        let view = self.take(name, Dtype::I64)?;
        let &[rows, columns] = view.shape() else {
            let found = view.shape();
            self.problem(format!("{name} has shape {found:?}, expected a matrix"));
            return None;
        };
        Some(([rows, columns], numbers(view.data(), i64::from_le_bytes)))
    }

    /// Adds a problem.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Checks that no tensor is left, and that there was no problem.
    pub(crate) fn finish(mut self) -> Result<(), ComposeError> {
        let unknown = self.stored.keys();
        let unknown = unknown.map(|name| format!("{name} is not part of this composition"));
        self.problems.extend(unknown);
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(ComposeError::Malformed {
            path: self.path.to_owned(),
            reason: self.problems.join("; "),
        })
    }

    fn take(&mut self, name: &str, dtype: Dtype) -> Option<TensorView<'a>> {
        let problem = match self.stored.remove(name) {
            Some(view) if view.dtype() == dtype => return Some(view),
            Some(view) => format!("{name} is {:?}, expected {dtype:?}", view.dtype()),
            None => format!("{name} is missing"),
        };
        self.problem(problem);
        None
    }
}

/// The safetensors file in `bytes`, which were read from `path`.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ComposeError> {
    SafeTensors::deserialize(bytes).map_err(|error| ComposeError::Malformed {
        path: path.to_owned(),
        reason: format!("not a safetensors file: {error}"),
    })
}

/// The type as files name it.
pub(crate) fn stored_type(dtype: FloatType) -> Dtype {
    match dtype {
        FloatType::F32 => Dtype::F32,
        FloatType::F16 => Dtype::F16,
        FloatType::BF16 => Dtype::BF16,
    }
}

/// Values of any float type as `f32`; none of other types.
pub(crate) fn to_f32(stored: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = |numbers: Vec<f16>| numbers.into_iter().map(f16::to_f32).collect();
    let brains = |numbers: Vec<bf16>| numbers.into_iter().map(bf16::to_f32).collect();
    match stored {
        Dtype::F32 => Some(numbers(bytes, f32::from_le_bytes)),
        Dtype::F16 => Some(halves(numbers(bytes, f16::from_le_bytes))),
        Dtype::BF16 => Some(brains(numbers(bytes, bf16::from_le_bytes))),
        _ => None,
    }
}

fn numbers<T, const BYTES: usize>(bytes: &[u8], number: fn([u8; BYTES]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<BYTES>();
    numbers.iter().map(|bytes| number(*bytes)).collect()
}
