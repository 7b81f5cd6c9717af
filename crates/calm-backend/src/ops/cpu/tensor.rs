//! Tensors of the processor's backend.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use burn::tensor::TensorData;

/// A tensor of the processor's backend, of any element type.
pub(crate) type FlexTensor = FloatTensor<Flex>;

/// The tensor in row-major order with nothing around its elements. It is copied only if it is laid
/// out otherwise.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let contiguous = x.to_contiguous();
    // A second handle would count as shared, and the first write would copy the buffer.
    drop(x);
    contiguous
}

/// A tensor in the shape of `like`.
pub(crate) fn with_shape_of(like: &FlexTensor, values: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, like.layout().shape().clone()))
}
