//! Named tensors of a safetensors file, taken one by one until none is left.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::ComposeError;

/// The tensors of a file that have not been taken yet, and what was wrong with those that were.
///
/// Problems are collected, so that one error names all of them.
pub(crate) struct NamedTensors<'a> {
    path: &'a Path,
    stored: BTreeMap<String, TensorView<'a>>,
    problems: Vec<String>,
}

impl<'a> NamedTensors<'a> {
    /// The tensors in `bytes`, which were read from `path`.
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, ComposeError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| ComposeError::Malformed {
            path: path.to_owned(),
            reason: format!("not a safetensors file: {error}"),
        })?;
        Ok(Self {
            path,
            stored: file.tensors().into_iter().collect(),
            problems: Vec::new(),
        })
    }

    /// Numbers of this name and shape.
    pub(crate) fn take_f32(&mut self, name: &str, shape: &[usize]) -> Option<TensorData> {
        let view = self.take(name, Dtype::F32)?;
        if view.shape() != shape {
            let found = view.shape();
            self.problem(format!("{name} has shape {found:?}, expected {shape:?}"));
            return None;
        }
        let (numbers, _) = view.data().as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|b| f32::from_le_bytes(*b)).collect();
        Some(TensorData::new(numbers, shape.to_vec()))
    }

    /// A matrix of integers.
    pub(crate) fn take_i64(&mut self, name: &str) -> Option<([usize; 2], Vec<i64>)> {
        let view = self.take(name, Dtype::I64)?;
        let &[rows, columns] = view.shape() else {
            let found = view.shape();
            self.problem(format!("{name} has shape {found:?}, expected a matrix"));
            return None;
        };
        let (numbers, _) = view.data().as_chunks::<8>();
        let numbers = numbers.iter().map(|b| i64::from_le_bytes(*b));
        Some(([rows, columns], numbers.collect()))
    }

    /// Remembers what is wrong.
    pub(crate) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Checks that everything was there, and nothing else.
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
