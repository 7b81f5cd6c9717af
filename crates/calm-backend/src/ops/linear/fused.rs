//! A projection on the processor, with its gradients, in `f32`.

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape, TensorData, bf16, f16};

use super::super::extension::Saved;
use super::super::kernel::contiguous;
use super::super::matmul::{self, Operand};
use super::super::processor::FlexTensor;
use super::in_order;
use super::stored::{self, Weight};

/// What gradients are computed from.
#[derive(Debug, Clone)]
pub(in super::super) struct Inputs {
    /// `[rows, d_input]`; none if no gradient of the weight is wanted.
    x: Option<FlexTensor>,
    /// `[d_input, d_output]`, perhaps in half precision.
    weight: FlexTensor,
    /// That `x` came in.
    shape: Shape,
}

/// `x · weight`; a gradient is computed for `x`, or for both.
pub(in super::super) fn forward(x: &FlexTensor, weight: FlexTensor) -> (FlexTensor, Inputs) {
    let shape = x.layout().shape().clone();
    let x = rows_of(x);
    let mut output_shape = shape.clone();
    if let Some(width) = output_shape.last_mut() {
        *width = widths(&weight)[1];
    }
    let output = TensorData::new(product(&x, &weight), output_shape);
    let inputs = Inputs {
        x: Some(x),
        weight,
        shape,
    };
    (FlexTensor::from_data(output), inputs)
}

impl Inputs {
    /// All that the gradient of `x` needs. A frozen block then keeps nothing of what its
    /// projections read, which is a third of all that training would keep of it.
    pub(in super::super) fn with_frozen_weight(self) -> Self {
        Self { x: None, ..self }
    }
}

impl Saved<Flex, 2> for Inputs {
    fn gradients(self, output: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
        let output = rows_of(&output);
        let weight = wanted[1].then(|| {
            let x = self.x.expect("kept, unless the weight is frozen");
            let gradient = matmul(x.transpose(0, 1), output.clone());
            let gradient = TensorData::new(gradient, widths(&self.weight));
            cast(FlexTensor::from_data(gradient), self.weight.dtype())
        });
        let x = wanted[0].then(|| {
            let gradient = matmul(output, wide(self.weight.transpose(0, 1)));
            FlexTensor::from_data(TensorData::new(gradient, self.shape))
        });
        [x, weight]
    }
}

/// `d_input` and `d_output`.
fn widths(weight: &FlexTensor) -> [usize; 2] {
    weight.layout().shape().dims()
}

/// In rows of `d_output`.
fn product(x: &FlexTensor, weight: &FlexTensor) -> Vec<f32> {
    let rows = x.layout().shape()[0];
    let is_few = stored::are_few(rows, widths(weight)[1]);
    let output = match weight.dtype() {
        DType::BF16 => stored_product::<bf16>(x, weight),
        DType::F16 => stored_product::<f16>(x, weight),
        _ if is_few => stored_product::<f32>(x, weight).or_else(|| product_in_order(x, weight)),
        _ => None,
    };
    output.unwrap_or_else(|| matmul(x.clone(), wide(weight.clone())))
}

/// If the weights lie as checkpoints store them: those of an output side by side.
fn stored_product<W: Weight>(x: &FlexTensor, weight: &FlexTensor) -> Option<Vec<f32>> {
    let [d_input, d_output] = widths(weight);
    let weight = lying::<W>(weight, [1, d_input])?;
    let product = |x: &[f32], output: &mut [f32]| stored::product(x, weight, d_input, output);
    by_kernel(x, d_output, product)
}

/// Of very few rows, if the weights lie as those that are trained: those of an input side by side.
fn product_in_order(x: &FlexTensor, weight: &FlexTensor) -> Option<Vec<f32>> {
    if x.layout().shape()[0] > in_order::MOST_ROWS {
        return None;
    }
    let [d_input, d_output] = widths(weight);
    let weight = lying::<f32>(weight, [d_output, 1])?;
    let product = |x: &[f32], output: &mut [f32]| in_order::product(x, weight, d_input, output);
    by_kernel(x, d_output, product)
}

/// The weights, if they lie with these strides and nothing between them.
fn lying<W: Weight>(weight: &FlexTensor, strides: [usize; 2]) -> Option<&[W]> {
    let layout = weight.layout();
    let weights: &[W] = weight.storage();
    let lie_so = layout.strides() == strides.map(|stride| stride as isize);
    let count = widths(weight).iter().product();
    (lie_so && count > 0).then(|| &weights[layout.start_offset()..][..count])
}

/// The product of rows in row-major order by `product`, if there are any.
fn by_kernel(
    x: &FlexTensor,
    d_output: usize,
    product: impl Fn(&[f32], &mut [f32]),
) -> Option<Vec<f32>> {
    let rows = x.layout().shape()[0];
    let x = contiguous(x.clone());
    let mut output = vec![0.0; rows * d_output];
    (rows > 0).then(|| {
        product(x.storage(), &mut output);
        output
    })
}

/// `a · b` in row-major order.
fn matmul(a: FlexTensor, b: FlexTensor) -> Vec<f32> {
    let (a, b) = (Operand::new(a), Operand::new(b));
    matmul::product(a.matrix(), b.matrix())
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
