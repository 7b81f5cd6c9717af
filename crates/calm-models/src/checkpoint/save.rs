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
use crate::ranges::Ranges;
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
        let names = config.family.names();
        names.location(config, id, &names.written())
    }

    fn table(&mut self, id: ParamId, table: &Embedding) {
        let location = self.location(id);
        self.matrix(location.weight(), &location, &table.weight, false);
    }

    fn linear(&mut self, id: ParamId, linear: &Linear) {
        let location = self.location(id);
        let (name, transposed) = (location.weight(), !location.input_first);
        self.matrix(name, &location, &linear.weight, transposed);
        if let Some(bias) = &linear.bias {
            self.vector(location.bias(), &location, bias);
        }
    }

    fn norm(&mut self, id: ParamId, norm: &Norm) {
        let location = self.location(id);
        let names = location.weights();
        let width = norm.weight.shape()[0] / names.len();
        for (index, name) in names.into_iter().enumerate() {
            let part = norm.weight.val().narrow(0, index * width, width);
            self.push(name, Parameters::Vectors(vec![Fragment::whole(part)]));
        }
        if let Some(bias) = &norm.bias {
            self.vector(location.bias(), &location, bias);
        }
    }

    fn vector(&mut self, name: String, location: &TensorLocation, vector: &Param<Tensor<1>>) {
        let vectors = vec![Fragment::new(location, vector)];
        self.push(name, Parameters::Vectors(vectors));
    }

    fn matrix(
        &mut self,
        name: String,
        location: &TensorLocation,
        matrix: &Param<Tensor<2>>,
        transposed: bool,
    ) {
        let parameters = Parameters::Matrices {
            matrices: vec![Fragment::new(location, matrix)],
            transposed,
        };
        self.push(name, parameters);
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

enum Parameters {
    Vectors(Vec<Fragment<1>>),
    Matrices {
        matrices: Vec<Fragment<2>>,
        transposed: bool,
    },
}

/// A parameter, and its outputs among those of the tensor.
struct Fragment<const D: usize> {
    parameter: Param<Tensor<D>>,
    outputs: Ranges,
}

impl<const D: usize> Fragment<D> {
    fn new(location: &TensorLocation, parameter: &Param<Tensor<D>>) -> Self {
        Self {
            parameter: parameter.clone(),
            outputs: location.outputs.clone(),
        }
    }

    fn whole(tensor: Tensor<D>) -> Self {
        Self {
            outputs: (0..tensor.dims()[D - 1]).into(),
            parameter: Param::from_tensor(tensor),
        }
    }

    /// The first output of every range, with the numbers of the range.
    fn ranges(&self) -> impl Iterator<Item = (usize, Tensor<D>)> {
        let (value, mut start) = (self.parameter.val(), 0);
        self.outputs.iter().map(move |range| {
            let numbers = value.clone().narrow(D - 1, start, range.len());
            start += range.len();
            (range.start, numbers)
        })
    }
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
            Self::Vectors(vectors) => vec![vectors.iter().map(|vector| vector.outputs.len()).sum()],
            Self::Matrices {
                matrices,
                transposed,
            } => {
                let d_inputs = matrices.iter().map(|matrix| matrix.parameter.shape()[0]);
                let outputs = matrices.iter().map(|matrix| matrix.outputs.len()).sum();
                let mut shape = vec![d_inputs.max().unwrap_or(0), outputs];
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
            Self::Vectors(vectors) => joined(vectors).into_data(),
            Self::Matrices {
                matrices,
                transposed: false,
            } => joined(matrices).into_data(),
            Self::Matrices {
                matrices,
                transposed: true,
            } => joined(matrices).transpose().into_data(),
        }
    }
}

/// The whole tensor, its outputs in their order.
fn joined<const D: usize>(parts: &[Fragment<D>]) -> Tensor<D> {
    if let [part] = parts {
        return part.parameter.val();
    }
    let mut ranges: Vec<_> = parts.iter().flat_map(Fragment::ranges).collect();
    ranges.sort_by_key(|(start, _)| *start);
    let numbers = ranges.into_iter().map(|(_, numbers)| numbers);
    Tensor::cat(numbers.collect(), D - 1)
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
