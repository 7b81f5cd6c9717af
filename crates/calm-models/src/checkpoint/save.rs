//! Writes parameters as a safetensors file, with the names and layout that PyTorch expects.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Tensor, TensorData};
use calm_backend::FloatType;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, View, serialize, serialize_to_file};

use super::convert::Number;
use crate::config::ParamId;
use crate::decoder::{Norm, ParamRef};
use crate::families::TensorLocation;
use crate::{Decoder, ModelError};

/// Writes the decoder's weights; each tensor is converted when its turn comes.
pub(crate) fn write(decoder: &Decoder, dtype: FloatType, path: &Path) -> Result<(), ModelError> {
    let as_io = |source| ModelError::Io {
        path: path.to_owned(),
        source,
    };
    serialize_to_file(named_views(decoder, dtype), metadata(), path).map_err(|error| {
        as_io(match error {
            safetensors::SafeTensorError::IoError(source) => source,
            other => std::io::Error::other(other),
        })
    })?;
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(as_io)
}

/// SHA-256 of the file that [`write`] would write in `f32`.
pub(crate) fn sha256_of_memory(decoder: &Decoder) -> String {
    let bytes = serialize(named_views(decoder, FloatType::F32), metadata())
        .expect("names are unique and shapes those of the tensors");
    calm_files::sha256(bytes)
}

/// `transformers` refuses files that do not say so.
fn metadata() -> Option<HashMap<String, String>> {
    Some(HashMap::from([("format".to_owned(), "pt".to_owned())]))
}

fn named_views(decoder: &Decoder, dtype: FloatType) -> Vec<(String, ParameterView)> {
    let mut views = Views {
        decoder,
        dtype,
        views: Vec::new(),
    };
    for (id, _) in decoder.config().params() {
        match decoder.param(id) {
            Some(ParamRef::Table(table)) => views.table(id, table),
            Some(ParamRef::Linear(linear)) => views.linear(id, linear),
            Some(ParamRef::Norm(norm)) => views.norm(id, norm),
            None => unreachable!("the decoder was built from this description"),
        }
    }
    views.views
}

struct Views<'a> {
    decoder: &'a Decoder,
    dtype: FloatType,
    views: Vec<(String, ParameterView)>,
}

impl Views<'_> {
    fn location(&self, id: ParamId) -> TensorLocation {
        let config = self.decoder.config();
        config.family.names().location(config, id, false)
    }

    fn table(&mut self, id: ParamId, table: &Embedding) {
        self.matrix(self.location(id).weight(), &table.weight, false);
    }

    fn linear(&mut self, id: ParamId, linear: &Linear) {
        let location = self.location(id);
        self.matrix(location.weight(), &linear.weight, !location.input_first);
        if let Some(bias) = &linear.bias {
            self.vector(location.bias(), bias);
        }
    }

    fn norm(&mut self, id: ParamId, norm: &Norm) {
        let location = self.location(id);
        self.vector(location.weight(), &norm.weight);
        if let Some(bias) = &norm.bias {
            self.vector(location.bias(), bias);
        }
    }

    fn vector(&mut self, name: String, vector: &Param<Tensor<1>>) {
        self.push(name, Parameters::Vectors(vec![vector.clone()]));
    }

    fn matrix(&mut self, name: String, matrix: &Param<Tensor<2>>, transposed: bool) {
        let matrices = vec![matrix.clone()];
        self.push(
            name,
            Parameters::Matrices {
                matrices,
                transposed,
            },
        );
    }

    /// A tensor, or one more part of it.
    fn push(&mut self, name: String, parameters: Parameters) {
        // The parts of a tensor belong to the same block, so they are not far apart.
        let mut recent = self.views.iter_mut().rev().take(32);
        if let Some((_, view)) = recent.find(|(other, _)| *other == name) {
            view.parameters.append(parameters);
            view.shape = view.parameters.shape();
            return;
        }
        let view = ParameterView {
            shape: parameters.shape(),
            parameters,
            dtype: self.dtype,
        };
        self.views.push((name, view));
    }
}

/// Parameters of one tensor, which become bytes when they are asked for.
struct ParameterView {
    parameters: Parameters,
    shape: Vec<usize>,
    dtype: FloatType,
}

/// In the order of their outputs.
enum Parameters {
    Vectors(Vec<Param<Tensor<1>>>),
    Matrices {
        matrices: Vec<Param<Tensor<2>>>,
        transposed: bool,
    },
}

impl Parameters {
    fn append(&mut self, other: Self) {
        match (self, other) {
            (Self::Vectors(all), Self::Vectors(more)) => all.extend(more),
            (Self::Matrices { matrices: all, .. }, Self::Matrices { matrices: more, .. }) => {
                all.extend(more);
            }
            _ => unreachable!("a name ends in .weight or .bias"),
        }
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vectors(vectors) => vec![vectors.iter().map(|v| v.shape()[0]).sum()],
            Self::Matrices {
                matrices,
                transposed,
            } => {
                let d_input = matrices.iter().map(|m| m.shape()[0]).max().unwrap_or(0);
                let mut shape = vec![d_input, matrices.iter().map(|m| m.shape()[1]).sum()];
                if *transposed {
                    shape.reverse();
                }
                shape
            }
        }
    }

    /// The numbers in the order of the file. With adapters the effective value counts.
    fn data(&self) -> TensorData {
        match self {
            Self::Vectors(vectors) => joined(vectors, 0).into_data(),
            Self::Matrices {
                matrices,
                transposed: false,
            } => joined(matrices, 1).into_data(),
            Self::Matrices {
                matrices,
                transposed: true,
            } => joined(matrices, 1).transpose().into_data(),
        }
    }
}

fn joined<const D: usize>(parts: &[Param<Tensor<D>>], axis: usize) -> Tensor<D> {
    match parts {
        [part] => part.val(),
        parts => Tensor::cat(parts.iter().map(Param::val).collect(), axis),
    }
}

impl View for ParameterView {
    fn dtype(&self) -> Dtype {
        match self.dtype {
            FloatType::F32 => Dtype::F32,
            FloatType::F16 => Dtype::F16,
            FloatType::BF16 => Dtype::BF16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let data = self.parameters.data();
        let values = data.iter::<f32>();
        let mut bytes = Vec::with_capacity(self.data_len());
        match self.dtype {
            FloatType::F32 => values.for_each(|value| value.write(&mut bytes)),
            FloatType::F16 => values.for_each(|value| f16::from_f32(value).write(&mut bytes)),
            FloatType::BF16 => values.for_each(|value| bf16::from_f32(value).write(&mut bytes)),
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bytes()
    }
}
