//! A projection on the processor, with its gradients, in `f32`.

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape, TensorData, bf16, f16};

use super::super::extension::{FlexTensor, Saved};
use super::super::kernel::contiguous;
use super::super::matmul::{Operand, product};
use super::stored::{self, Weight};

/// The inputs.
#[derive(Debug, Clone)]
pub(in super::super) struct Inputs {
    /// `[rows, d_input]`.
    x: FlexTensor,
    /// `[d_input, d_output]`, perhaps in half precision.
    weight: FlexTensor,
    /// That `x` came in.
    shape: Shape,
}

/// `x · weight`; a gradient is computed for `x`, or for both.
pub(in super::super) fn forward(x: &FlexTensor, weight: FlexTensor) -> (FlexTensor, Inputs) {
    let inputs = Inputs {
        x: rows_of(x),
        weight,
        shape: x.layout().shape().clone(),
    };
    let mut shape = inputs.shape.clone();
    if let Some(width) = shape.last_mut() {
        *width = inputs.widths()[1];
    }
    let output = TensorData::new(inputs.product(), shape);
    (FlexTensor::from_data(output), inputs)
}

impl Inputs {
    /// `d_input` and `d_output`.
    fn widths(&self) -> [usize; 2] {
        self.weight.layout().shape().dims()
    }

    /// In rows of `d_output`.
    fn product(&self) -> Vec<f32> {
        let is_few = stored::are_few(self.x.layout().shape()[0], self.widths()[1]);
        let output = match self.weight.dtype() {
            DType::BF16 => self.stored_product::<bf16>(),
            DType::F16 => self.stored_product::<f16>(),
            _ if is_few => self.stored_product::<f32>(),
            _ => None,
        };
        output.unwrap_or_else(|| matmul(self.x.clone(), wide(self.weight.clone())))
    }

    /// If the weights lie as checkpoints store them: those of an output side by side.
    fn stored_product<W: Weight>(&self) -> Option<Vec<f32>> {
        let [d_input, d_output] = self.widths();
        let rows = self.x.layout().shape()[0];
        let layout = self.weight.layout();
        if layout.strides() != [1, d_input as isize] || rows * d_input * d_output == 0 {
            return None;
        }
        let weight: &[W] = self.weight.storage();
        let weight = &weight[layout.start_offset()..][..d_input * d_output];
        let x = contiguous(self.x.clone());
        let mut output = vec![0.0; rows * d_output];
        stored::product(x.storage(), weight, d_input, &mut output);
        Some(output)
    }
}

impl Saved<2> for Inputs {
    fn gradients(self, output: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let output = rows_of(&output);
        let weight = wanted[1].then(|| {
            let gradient = matmul(self.x.transpose(0, 1), output.clone());
            let gradient = TensorData::new(gradient, self.widths());
            cast(FlexTensor::from_data(gradient), self.weight.dtype())
        });
        let x = wanted[0].then(|| {
            let gradient = matmul(output, wide(self.weight.transpose(0, 1)));
            FlexTensor::from_data(TensorData::new(gradient, self.shape))
        });
        [x, weight]
    }
}

/// `a · b` in row-major order.
fn matmul(a: FlexTensor, b: FlexTensor) -> Vec<f32> {
    let (a, b) = (Operand::new(a), Operand::new(b));
    product(a.matrix(), b.matrix())
}

/// `[.., width]` as `[rows, width]`.
fn rows_of(x: &FlexTensor) -> FlexTensor {
    let shape = x.layout().shape();
    let (width, rows) = match shape.split_last() {
        Some((width, rows)) => (*width, rows.iter().product()),
        None => (1, 1),
    };
    x.reshape(Shape::from([rows, width]))
}

fn wide(x: FlexTensor) -> FlexTensor {
    cast(x, DType::F32)
}

fn cast(x: FlexTensor, dtype: DType) -> FlexTensor {
    match x.dtype() == dtype {
        true => x,
        false => Flex::float_cast(x, FloatDType::from(dtype)),
    }
}
