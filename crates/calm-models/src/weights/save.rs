//! Parameters into a safetensors file, with the names and layout that PyTorch expects.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use calm_backend::FloatType;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, View, serialize, serialize_to_file};
use sha2::{Digest, Sha256};

use super::checkpoint::hex;
use super::convert::Number;
use super::load::{bias_name, weight_name};
use crate::decoder::{BlockSlot, RmsNorm, Slot};
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
    hex(&Sha256::digest(&bytes))
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
    views.matrix(Slot::Embedding, &decoder.embedding.weight, false);
    for (index, block) in decoder.blocks.iter().enumerate() {
        let slot = |part| Slot::Block(index, part);
        let (attention, feed_forward) = (&block.attention, &block.feed_forward);
        views.norm(slot(BlockSlot::AttentionNorm), &block.attention_norm);
        views.linear(slot(BlockSlot::Query), &attention.query);
        views.linear(slot(BlockSlot::Key), &attention.key);
        views.linear(slot(BlockSlot::Value), &attention.value);
        views.linear(slot(BlockSlot::Output), &attention.output);
        views.norm(slot(BlockSlot::FeedForwardNorm), &block.feed_forward_norm);
        views.linear(slot(BlockSlot::Gate), &feed_forward.gate);
        views.linear(slot(BlockSlot::Up), &feed_forward.up);
        views.linear(slot(BlockSlot::Down), &feed_forward.down);
    }
    views.norm(Slot::FinalNorm, &decoder.norm);
    if let Some(head) = &decoder.head {
        views.linear(Slot::Head, head);
    }
    views.views
}

struct Views<'a> {
    decoder: &'a Decoder,
    dtype: FloatType,
    views: Vec<(String, ParameterView)>,
}

impl Views<'_> {
    fn linear(&mut self, slot: Slot, linear: &Linear) {
        self.matrix(slot, &linear.weight, true);
        if let Some(bias) = &linear.bias {
            self.vector(bias_name(self.decoder.config(), slot), bias);
        }
    }

    fn norm(&mut self, slot: Slot, norm: &RmsNorm) {
        self.vector(weight_name(self.decoder.config(), slot), &norm.weight);
    }

    fn vector(&mut self, name: String, vector: &Param<Tensor<1>>) {
        let shape = vector.shape().to_vec();
        self.push(name, shape, Parameter::Vector(vector.clone()));
    }

    fn matrix(&mut self, slot: Slot, matrix: &Param<Tensor<2>>, transposed: bool) {
        let mut shape = matrix.shape().to_vec();
        if transposed {
            shape.reverse();
        }
        let name = weight_name(self.decoder.config(), slot);
        self.push(
            name,
            shape,
            Parameter::Matrix {
                matrix: matrix.clone(),
                transposed,
            },
        );
    }

    fn push(&mut self, name: String, shape: Vec<usize>, parameter: Parameter) {
        self.views.push((
            name,
            ParameterView {
                parameter,
                shape,
                dtype: self.dtype,
            },
        ));
    }
}

/// A parameter that becomes bytes when they are asked for.
struct ParameterView {
    parameter: Parameter,
    shape: Vec<usize>,
    dtype: FloatType,
}

enum Parameter {
    Vector(Param<Tensor<1>>),
    Matrix {
        matrix: Param<Tensor<2>>,
        transposed: bool,
    },
}

impl Parameter {
    /// The numbers in the order of the file. With adapters the effective value counts.
    fn data(&self) -> TensorData {
        match self {
            Self::Vector(vector) => vector.val().into_data(),
            Self::Matrix {
                matrix,
                transposed: false,
            } => matrix.val().into_data(),
            Self::Matrix {
                matrix,
                transposed: true,
            } => matrix.val().transpose().into_data(),
        }
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
        let data = self.parameter.data();
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
