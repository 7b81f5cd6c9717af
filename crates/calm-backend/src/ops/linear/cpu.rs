//! A projection on the processor, with its gradients, in `f32`.

use burn::backend::Flex;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape, TensorData, bf16, f16};

use super::row_major;
use super::transposed::{self, Weight};
use crate::ops::cpu::matmul::{self, Operand};
use crate::ops::cpu::{FlexTensor, contiguous};
use crate::ops::operation::BackwardState;

/// The inputs, as far as gradients need them.
#[derive(Debug, Clone)]
struct Inputs {
    /// `[rows, d_input]`; none if the weight is frozen. A frozen block then keeps nothing of what
    /// its projections read, a third of all that training would keep of it.
    x: Option<FlexTensor>,
    /// `[d_input, d_output]`, in any floating-point type.
    weight: FlexTensor,
    /// The shape of `x` before its axes were joined.
    shape: Shape,
}

/// `x · weight`, `x` in `f32`; the weight may be in half precision.
#[expect(
    clippy::needless_pass_by_value,
    reason = "kernels take tensors by value"
)]
pub(crate) fn forward(
    x: FlexTensor,
    weight: FlexTensor,
    [_, needs_weight]: [bool; 2],
) -> (FlexTensor, impl BackwardState<Flex, 2>) {
    let shape = x.layout().shape().clone();
    let x = rows_of(&x);
    let mut output_shape = shape.clone();
    if let Some(width) = output_shape.last_mut() {
        *width = widths(&weight)[1];
    }
    let output = TensorData::new(product(&x, &weight), output_shape);
    let inputs = Inputs {
        x: needs_weight.then_some(x),
        weight,
        shape,
    };
    (FlexTensor::from_data(output), inputs)
}

impl BackwardState<Flex, 2> for Inputs {
    fn backward(
        self,
        gradient: FlexTensor,
        [needs_x, needs_weight]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let output = rows_of(&gradient);
        let weight = needs_weight.then(|| {
            let x = self.x.expect("kept, unless the weight is frozen");
            let gradient = matmul(x.transpose(0, 1), output.clone());
            let gradient = TensorData::new(gradient, widths(&self.weight));
            cast(FlexTensor::from_data(gradient), self.weight.dtype())
        });
        let x = needs_x.then(|| {
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

/// `[rows, d_output]`, in row-major order.
fn product(x: &FlexTensor, weight: &FlexTensor) -> Vec<f32> {
    let rows = x.layout().shape()[0];
    let suits_gemv = transposed::suits_gemv(rows, widths(weight)[1]);
    let output = match weight.dtype() {
        DType::BF16 => transposed_product::<bf16>(x, weight),
        DType::F16 => transposed_product::<f16>(x, weight),
        _ if suits_gemv => {
            transposed_product::<f32>(x, weight).or_else(|| row_major_product(x, weight))
        }
        _ => None,
    };
    output.unwrap_or_else(|| matmul(x.clone(), wide(weight.clone())))
}

/// The product, if the weight is a transposed view: the weights of an output lie side by side, as
/// checkpoints store them.
fn transposed_product<W: Weight>(x: &FlexTensor, weight: &FlexTensor) -> Option<Vec<f32>> {
    let [d_input, d_output] = widths(weight);
    let weight = with_strides::<W>(weight, [1, d_input])?;
    let product = |x: &[f32], output: &mut [f32]| transposed::product(x, weight, d_input, output);
    by_kernel(x, d_output, product)
}

/// The product of very few rows, if the weight is row-major: the weights of an input lie side by
/// side, as those of trained layers do.
fn row_major_product(x: &FlexTensor, weight: &FlexTensor) -> Option<Vec<f32>> {
    if x.layout().shape()[0] > row_major::MOST_ROWS {
        return None;
    }
    let [d_input, d_output] = widths(weight);
    let weight = with_strides::<f32>(weight, [d_output, 1])?;
    let product = |x: &[f32], output: &mut [f32]| row_major::product(x, weight, d_input, output);
    by_kernel(x, d_output, product)
}

/// The weights, if they have these strides and no gaps.
fn with_strides<W: Weight>(weight: &FlexTensor, strides: [usize; 2]) -> Option<&[W]> {
    let layout = weight.layout();
    let weights: &[W] = weight.storage();
    let has_strides = layout.strides() == strides.map(|stride| stride as isize);
    let count = widths(weight).iter().product();
    (has_strides && count > 0).then(|| &weights[layout.start_offset()..][..count])
}

/// The output of `product`, which takes `x` in row-major order; none if there are no rows.
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
