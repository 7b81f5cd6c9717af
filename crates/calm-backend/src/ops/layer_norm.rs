//! Normalisation to mean zero and variance one.

use burn::tensor::{DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

/// `(x - mean(x)) / √(var(x) + epsilon) · weight + bias` over the last axis, computed in `f32`
/// (arXiv 1607.06450).
///
/// # Shapes
///
/// - `x`: `[.., d_model]`
/// - `weight`, `bias`: `[d_model]`
/// - output: as `x`
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&x) && [weight.dtype(), bias.dtype()] == [x.dtype(); 2] {
        let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
        let output = Dispatch::layer_norm(x.into_dispatch(), weight, bias, epsilon as f32);
        return Tensor::from_dispatch(output);
    }
    plain(x, weight, bias, epsilon)
}

/// [`layer_norm`] out of Burn's own operations.
pub fn plain<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().square().mean_dim(D - 1);
    let normed = centred * (variance + epsilon).sqrt().recip();
    let [weight, bias] = [weight, bias].map(|x| x.cast(DType::F32).unsqueeze());
    (normed * weight + bias).cast(dtype)
}

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::iter::zip;

    use burn::backend::Flex;

    use super::super::extension::Saved;
    use super::super::kernel::{
        contiguous, fill, run, sum, sum_of_rows, task_of_rows, with_shape_of,
    };
    use super::super::processor::FlexTensor;

    /// The inputs; what is known of a row is computed again, the row being read anyway.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Inputs {
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
    }

    pub(in super::super) fn forward(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, Inputs) {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        let inputs = Inputs { x, weight, epsilon };
        let (x, weight) = inputs.slices();
        let bias: &[f32] = bias.storage();
        assert_eq!(bias.len(), weight.len(), "a bias for each weight");
        let task = task_of_rows(weight.len());
        let output = fill(
            x.len(),
            task,
            x.chunks(task),
            #[inline(always)]
            |output, x| {
                let width = weight.len();
                for (output, x) in zip(output.chunks_mut(width), x.chunks(width)) {
                    let row = Row::of(x, epsilon);
                    for ((output, x), (weight, bias)) in zip(zip(output, x), zip(weight, bias)) {
                        *output = row.normed(*x) * weight + bias;
                    }
                }
            },
        );
        (with_shape_of(&inputs.x, output), inputs)
    }

    /// What normalises a row.
    #[derive(Clone, Copy)]
    struct Row {
        mean: f32,
        /// 1 / √(var + epsilon).
        factor: f32,
    }

    impl Row {
        #[inline(always)]
        fn of(x: &[f32], epsilon: f32) -> Self {
            let count = x.len() as f32;
            let mean = sum(x, x, |x, _| x) / count;
            let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
            let factor = (variance + epsilon).sqrt().recip();
            Self { mean, factor }
        }

        #[inline(always)]
        fn normed(self, x: f32) -> f32 {
            (x - self.mean) * self.factor
        }

        /// With `g` the gradient times the weight and `n` the normed row, the gradient of a row is
        /// `factor · (g - mean(g) - n · mean(g · n))`; it takes the place of that of the output.
        #[inline(always)]
        fn differentiate(self, output: &mut [f32], x: &[f32], weight: &[f32]) {
            for (output, weight) in zip(&mut *output, weight) {
                *output *= weight;
            }
            let count = x.len() as f32;
            let mean = sum(output, output, |g, _| g) / count;
            let along = sum(output, x, |g, x| g * self.normed(x)) / count;
            for (output, x) in zip(output, x) {
                *output = self.factor * (*output - mean - self.normed(*x) * along);
            }
        }
    }

    impl Inputs {
        fn slices(&self) -> (&[f32], &[f32]) {
            let (x, weight): (&[f32], &[f32]) = (self.x.storage(), self.weight.storage());
            let width = self.x.layout().shape().last().copied();
            assert_eq!(width, Some(weight.len()), "one weight for each column");
            (x, weight)
        }

        /// `Σ gradient · normed` over the rows.
        fn weight_gradient(&self, output: &[f32]) -> Vec<f32> {
            let (x, weight) = self.slices();
            sum_of_rows(
                [output, x],
                weight.len(),
                #[inline(always)]
                |total, [output, x]| {
                    let row = Row::of(x, self.epsilon);
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
                        Row::of(x, self.epsilon).differentiate(output, x, weight);
                    }
                },
            );
        }
    }

    impl Saved<Flex, 3> for Inputs {
        fn gradients(self, output: FlexTensor, wanted: [bool; 3]) -> [Option<FlexTensor>; 3] {
            let mut output = contiguous(output);
            let of_vector = |gradient| with_shape_of(&self.weight, gradient);
            let weight = wanted[1].then(|| of_vector(self.weight_gradient(output.storage())));
            let bias = wanted[2].then(|| of_vector(self.bias_gradient(output.storage())));
            let x = wanted[0].then(|| {
                self.x_gradient(output.storage_mut());
                output
            });
            [x, weight, bias]
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    #[test]
    fn by_hand() {
        let device = Device::default();
        let x = Tensor::<2>::from_floats([[5.0, 1.0], [7.0, 7.0]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
        let bias = Tensor::<1>::from_floats([0.0, 0.5], &device);
        // Mean 3 and variance 4, so with epsilon 12 the root is 4.
        let expected = Tensor::<2>::from_floats([[0.5, -0.5], [0.0, 0.5]], &device);
        layer_norm(x, weight, bias, 12.0)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), Tolerance::absolute(1e-6));
    }

    type Norm = fn(Tensor<2>, Tensor<1>, Tensor<1>, f64) -> Tensor<2>;

    /// Inputs of one shape, of which the vectors take the first row.
    fn of_rows(norm: Norm) -> impl Fn([Tensor<2>; 3]) -> Tensor<2> {
        move |[x, weight, bias]| {
            let [weight, bias] = [weight, bias].map(|x| x.narrow(0, 0, 1).flatten(0, 1));
            norm(x, weight, bias, 1e-2)
        }
    }

    #[test]
    fn as_the_plain_composition() {
        for shape in [[1, 1], [3, 5], [7, 16], [2, 33], [300, 130]] {
            let inputs = [(); 3].map(|()| random(shape, 2.0) + 1.0);
            assert_fused(inputs, of_rows(layer_norm), of_rows(plain));
        }
    }

    #[test]
    fn of_views_and_of_frozen_vectors() {
        let vectors = [(); 2].map(|()| random([4], 1.0));
        let op = |norm: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>| {
            let [weight, bias] = vectors.clone();
            move |[x]: [Tensor<3>; 1]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                norm(x, weight.clone(), bias.clone(), 1e-5)
            }
        };
        assert_fused([random([4, 6, 10], 2.0)], op(layer_norm), op(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [(); 3].map(|()| random([3, 8], 1.0));
        assert_finite_differences(&inputs, of_rows(layer_norm));
    }
}
