//! `bridge.safetensors`: the parameters of the bridges.
//!
//! Matrices are stored (out, in), as torch does, and are transposed while they are read and written.

use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use calm_backend::FloatType;
use safetensors::tensor::TensorView;

use super::bytes::read_bytes;
use super::tensors::{NamedTensors, stored_type};
use crate::{Bridges, ComposeError};

/// A header has about a hundred bytes per tensor.
const MAX_HEADER_BYTES: u64 = 1 << 20;

impl Bridges {
    /// Writes the parameters alone, in `f32`: the `bridge.safetensors` of a composition.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] if the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ComposeError> {
        Ok(calm_files::write(path, serialize(self, FloatType::F32))?)
    }
}

/// Bridges like `bridges`, with the parameters that a file holds.
pub(super) fn read(
    path: &Path,
    bridges: Bridges,
    device: &Device,
) -> Result<Bridges, ComposeError> {
    let max_bytes = MAX_HEADER_BYTES + 4 * bridges.parameter_count() as u64;
    let bytes = read_bytes(path, max_bytes)?;
    let mut tensors = NamedTensors::parse(path, &bytes)?;
    let bridges = take_bridges(&mut tensors, bridges, device);
    tensors.finish()?;
    Ok(bridges)
}

/// The bridges with every parameter taken from a file; those with a problem stay as they are.
pub(crate) fn take_bridges(
    tensors: &mut NamedTensors<'_>,
    mut bridges: Bridges,
    device: &Device,
) -> Bridges {
    for (m, set) in bridges.of.iter_mut().enumerate() {
        for (n, bridge) in set.iter_mut().enumerate() {
            let dtype = bridge.config().options.dtype;
            for (part, linear) in bridge.linears_mut() {
                take_linear(tensors, &format!("a{m}.c{n}.{part}"), linear, dtype, device);
            }
            for (part, vector) in bridge.vectors_mut() {
                take_vector(tensors, &format!("a{m}.c{n}.{part}"), vector, dtype, device);
            }
        }
    }
    bridges
}

fn take_linear(
    tensors: &mut NamedTensors<'_>,
    name: &str,
    linear: &mut Linear,
    dtype: FloatType,
    device: &Device,
) {
    let [d_input, d_output] = linear.weight.shape().dims();
    let shape = [d_output, d_input];
    if let Some(data) = tensors.take_float(&format!("{name}.weight"), dtype, &shape) {
        // Turned in memory, too: products with a matrix in another order differ in their last bits
        // from those that it was trained with.
        let weight = from_data::<2>(data, dtype, device).transpose().into_data();
        linear.weight = Param::from_tensor(from_data(weight, dtype, device));
    }
    if let Some(bias) = &mut linear.bias {
        take_vector(tensors, &format!("{name}.bias"), bias, dtype, device);
    }
}

fn take_vector(
    tensors: &mut NamedTensors<'_>,
    name: &str,
    vector: &mut Param<Tensor<1>>,
    dtype: FloatType,
    device: &Device,
) {
    let shape: [usize; 1] = vector.shape().dims();
    if let Some(data) = tensors.take_float(name, dtype, &shape) {
        *vector = Param::from_tensor(from_data(data, dtype, device));
    }
}

/// Without the type, data of any type would become `f32`.
fn from_data<const D: usize>(data: TensorData, dtype: FloatType, device: &Device) -> Tensor<D> {
    let dtype: FloatDType = dtype.into();
    Tensor::from_data(data, (device, DType::from(dtype)))
}

/// The file of the parameters, each stored as `dtype`.
pub(super) fn serialize(bridges: &Bridges, dtype: FloatType) -> Vec<u8> {
    let stored_type = stored_type(dtype);
    let dtype = DType::from(FloatDType::from(dtype));
    let tensors = bridges.clone().in_unit_one().named_parameters();
    let tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, data)| (name, data.convert_dtype(dtype)))
        .collect();
    let views = tensors.iter().map(|(name, data)| {
        let shape = data.shape().to_vec();
        let view = TensorView::new(stored_type, shape, data.as_bytes());
        (name, view.expect("bytes and shape of one tensor agree"))
    });
    safetensors::serialize(views, None).expect("names are distinct and tensors are whole")
}
