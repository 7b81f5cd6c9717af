//! RMSNorm and LayerNorm on the processor.

use std::iter::zip;

use burn::backend::Flex;

use crate::ops::cpu::{
    FlexTensor, contiguous, fill, run, sum, sum_of_rows, task_of_rows, with_shape_of,
};
use crate::ops::operation::BackwardState;

/// The inputs. The mean of each row is subtracted if `CENTRED`. The statistics of a row are
/// computed again in the backward pass, which reads the row anyway.
#[derive(Debug, Clone)]
struct Inputs<const CENTRED: bool> {
    x: FlexTensor,
    weight: FlexTensor,
    epsilon: f32,
}

pub(crate) fn rms_norm(
    x: FlexTensor,
    weight: FlexTensor,
    epsilon: f32,
    _: [bool; 2],
) -> (FlexTensor, impl BackwardState<Flex, 2>) {
    forward::<false>(x, weight, None, epsilon)
}

pub(crate) fn layer_norm(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    epsilon: f32,
    _: [bool; 3],
) -> (FlexTensor, impl BackwardState<Flex, 3>) {
    forward::<true>(x, weight, Some(bias), epsilon)
}

fn forward<const CENTRED: bool>(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    epsilon: f32,
) -> (FlexTensor, Inputs<CENTRED>) {
    let inputs = Inputs {
        x: contiguous(x),
        weight: contiguous(weight),
        epsilon,
    };
    let (x, weight) = inputs.slices();
    let bias = bias.map(contiguous);
    let bias: Option<&[f32]> = bias.as_ref().map(FlexTensor::storage);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), weight.len(), "a bias for each weight");
    }
    let task = task_of_rows(weight.len());
    let output = fill(
        x.len(),
        task,
        x.chunks(task),
        #[inline(always)]
        |output, x| {
            let width = weight.len();
            for (output, x) in zip(output.chunks_mut(width), x.chunks(width)) {
                let row = inputs.row(x);
                for (output, (x, weight)) in zip(&mut *output, zip(x, weight)) {
                    *output = row.normed(*x) * weight;
                }
                for (output, bias) in zip(output, bias.unwrap_or_default()) {
                    *output += bias;
                }
            }
        },
    );
    (with_shape_of(&inputs.x, output), inputs)
}

/// The statistics that normalise a row.
#[derive(Clone, Copy)]
struct Row<const CENTRED: bool> {
    /// 0 if it is not subtracted.
    mean: f32,
    /// The inverse root of the mean square, after the mean is subtracted.
    factor: f32,
}

impl<const CENTRED: bool> Row<CENTRED> {
    #[inline(always)]
    fn of(x: &[f32], epsilon: f32) -> Self {
        let count = x.len() as f32;
        let mean = match CENTRED {
            true => sum(x, x, |x, _| x) / count,
            false => 0.0,
        };
        let square = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
        let factor = (square + epsilon).sqrt().recip();
        Self { mean, factor }
    }

    #[inline(always)]
    fn normed(self, x: f32) -> f32 {
        match CENTRED {
            true => (x - self.mean) * self.factor,
            false => x * self.factor,
        }
    }
}

impl<const CENTRED: bool> Inputs<CENTRED> {
    fn slices(&self) -> (&[f32], &[f32]) {
        let (x, weight): (&[f32], &[f32]) = (self.x.storage(), self.weight.storage());
        let width = self.x.layout().shape().last().copied();
        assert_eq!(width, Some(weight.len()), "one weight for each column");
        (x, weight)
    }

    #[inline(always)]
    fn row(&self, x: &[f32]) -> Row<CENTRED> {
        Row::of(x, self.epsilon)
    }

    /// `Σ gradient · normed` over the rows.
    fn weight_gradient(&self, output: &[f32]) -> Vec<f32> {
        let (x, weight) = self.slices();
        sum_of_rows(
            [output, x],
            weight.len(),
            #[inline(always)]
            |total, [output, x]| {
                let row = self.row(x);
                for (total, (output, x)) in zip(total, zip(output, x)) {
                    *total += output * row.normed(*x);
                }
            },
        )
    }

    /// `Σ gradient` over the rows.
    fn bias_gradient(&self, output: &[f32]) -> Vec<f32> {
        let width = self.slices().1.len();
        sum_of_rows(
            [output, output],
            width,
            #[inline(always)]
            |total, [output, _]| zip(total, output).for_each(|(total, x)| *total += x),
        )
    }

    /// Overwrites the gradient of the output with that of `x`.
    fn x_gradient(&self, output: &mut [f32]) {
        let (x, weight) = self.slices();
        let task = task_of_rows(weight.len());
        run(
            x.len(),
            zip(output.chunks_mut(task), x.chunks(task)),
            #[inline(always)]
            |(output, x)| {
                let width = weight.len();
                for (output, x) in zip(output.chunks_mut(width), x.chunks(width)) {
                    self.row_gradient(output, x, weight);
                }
            },
        );
    }

    /// Replaces the gradient of an output row by that of its row of `x`. With `g` the gradient
    /// times the weight and `n` the normed row, that is `factor · (g - n · mean(g · n))`, and
    /// `factor · (g - mean(g) - n · mean(g · n))` if centred.
    #[inline(always)]
    fn row_gradient(&self, output: &mut [f32], x: &[f32], weight: &[f32]) {
        let row = self.row(x);
        for (output, weight) in zip(&mut *output, weight) {
            *output *= weight;
        }
        let count = x.len() as f32;
        let mean = match CENTRED {
            true => sum(output, output, |g, _| g) / count,
            false => 0.0,
        };
        let along = sum(output, x, |g, x| g * row.normed(x)) / count;
        for (output, x) in zip(output, x) {
            *output = row.factor * (*output - mean - row.normed(*x) * along);
        }
    }

    /// In the shape of the weight.
    fn vector(&self, gradient: Vec<f32>) -> FlexTensor {
        with_shape_of(&self.weight, gradient)
    }
}

impl<const CENTRED: bool> BackwardState<Flex, 2> for Inputs<CENTRED> {
    fn backward(
        self,
        gradient: FlexTensor,
        [needs_x, needs_weight]: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let mut gradient = contiguous(gradient);
        let weight = needs_weight.then(|| self.vector(self.weight_gradient(gradient.storage())));
        let x = needs_x.then(|| {
            self.x_gradient(gradient.storage_mut());
            gradient
        });
        [x, weight]
    }
}

impl BackwardState<Flex, 3> for Inputs<true> {
    fn backward(
        self,
        gradient: FlexTensor,
        [needs_x, needs_weight, needs_bias]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let gradient = contiguous(gradient);
        let bias = needs_bias.then(|| self.vector(self.bias_gradient(gradient.storage())));
        let [x, weight] =
            BackwardState::<Flex, 2>::backward(self, gradient, [needs_x, needs_weight]);
        [x, weight, bias]
    }
}
