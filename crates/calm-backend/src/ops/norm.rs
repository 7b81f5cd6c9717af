//! Normalisation.

use burn::tensor::{DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

/// `x / √(mean(x²) + epsilon) · weight` over the last axis, computed in `f32`
/// (arXiv 1910.07467).
///
/// # Shapes
///
/// - `x`: `[.., d_model]`
/// - `weight`: `[d_model]`
/// - output: as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fits_or_half(&x) && fits_or_half(&weight) && x.dtype() == weight.dtype() {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        return Tensor::from_dispatch(Dispatch::rms_norm(x, weight, epsilon as f32));
    }
    plain(x, weight, epsilon)
}

/// [`rms_norm`] out of Burn's own operations.
pub fn plain<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mean_square = x.clone().square().mean_dim(D - 1);
    // One reciprocal per row and a product, rather than a quotient per element.
    let normed = x * (mean_square + epsilon).sqrt().recip();
    normed.cast(dtype) * weight.unsqueeze()
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

    /// The inputs; a row's root mean square is computed again, the row being read anyway.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Inputs {
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
    }

    pub(in super::super) fn forward(
        x: FlexTensor,
        weight: FlexTensor,
        epsilon: f32,
    ) -> (FlexTensor, Inputs) {
        let inputs = Inputs {
            x: contiguous(x),
            weight: contiguous(weight),
            epsilon,
        };
        let (x, weight) = inputs.slices();
        let task = task_of_rows(weight.len());
        let output = fill(
            x.len(),
            task,
            x.chunks(task),
            #[inline(always)]
            |output, x| {
                let width = weight.len();
                for (output, x) in zip(output.chunks_mut(width), x.chunks(width)) {
                    let factor = inverse_rms(x, epsilon);
                    for (output, (x, weight)) in zip(output, zip(x, weight)) {
                        *output = x * factor * weight;
                    }
                }
            },
        );
        (with_shape_of(&inputs.x, output), inputs)
    }

    impl Inputs {
        fn slices(&self) -> (&[f32], &[f32]) {
            let (x, weight): (&[f32], &[f32]) = (self.x.storage(), self.weight.storage());
            let width = self.x.layout().shape().last().copied();
            assert_eq!(width, Some(weight.len()), "one weight for each column");
            (x, weight)
        }

        /// `Σ gradient · x / rms(x)` over the rows.
        fn weight_gradient(&self, output: &[f32]) -> Vec<f32> {
            let (x, weight) = self.slices();
            sum_of_rows(
                [output, x],
                weight.len(),
                #[inline(always)]
                |total, [output, x]| {
                    let factor = inverse_rms(x, self.epsilon);
                    for (total, (output, x)) in zip(total, zip(output, x)) {
                        *total += output * x * factor;
                    }
                },
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
                        row_gradient(output, x, weight, inverse_rms(x, self.epsilon));
                    }
                },
            );
        }
    }

    impl Saved<Flex, 2> for Inputs {
        fn gradients(self, output: FlexTensor, wanted: [bool; 2]) -> [Option<FlexTensor>; 2] {
            let mut output = contiguous(output);
            let weight = wanted[1].then(|| {
                let gradient = self.weight_gradient(output.storage());
                with_shape_of(&self.weight, gradient)
            });
            let x = wanted[0].then(|| {
                self.x_gradient(output.storage_mut());
                output
            });
            [x, weight]
        }
    }

    #[inline(always)]
    fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
        let mean_square = sum(x, x, |a, b| a * b) / x.len() as f32;
        (mean_square + epsilon).sqrt().recip()
    }

    /// With `g` the gradient times the weight and `f` the inverse root mean square, the gradient of
    /// a row is `f · (g - x · f² · mean(g · x))`.
    #[inline(always)]
    fn row_gradient(output: &mut [f32], x: &[f32], weight: &[f32], factor: f32) {
        for (output, weight) in zip(&mut *output, weight) {
            *output *= weight;
        }
        let mean = sum(output, x, |a, b| a * b) / x.len() as f32;
        let along_x = factor * factor * mean;
        for (output, x) in zip(output, x) {
            *output = factor * (*output - x * along_x);
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
        let x = Tensor::<2>::from_floats([[3.0, -4.0], [0.0, 0.0]], &device);
        let weight = Tensor::<1>::from_floats([1.0, 2.0], &device);
        // mean(x²) = 12.5, so with epsilon 12.5 the root is 5.
        let expected = Tensor::<2>::from_floats([[0.6, -1.6], [0.0, 0.0]], &device);
        let tolerance = Tolerance::absolute(1e-6);
        rms_norm(x, weight, 12.5)
            .into_data()
            .assert_approx_eq::<f32>(&expected.into_data(), tolerance);
    }

    #[test]
    fn as_the_plain_composition() {
        for (rows, width) in [(1, 1), (3, 5), (7, 16), (2, 33), (300, 130), (70, 300)] {
            let (x, weight) = (random([rows, width], 2.0), random([1, width], 1.0));
            let fused = |x, weight: Tensor<2>| rms_norm(x, weight.flatten(0, 1), 1e-2);
            let reference = |x, weight: Tensor<2>| plain(x, weight.flatten(0, 1), 1e-2);
            assert_fused(
                [x.clone()],
                |[x]| fused(x, weight.clone()),
                |[x]| reference(x, weight.clone()),
            );
            assert_fused(
                [weight.clone()],
                |[weight]| fused(x.clone(), weight),
                |[weight]| reference(x.clone(), weight),
            );
        }
    }

    #[test]
    fn both_gradients_together_and_of_views() {
        let inputs = [random([4, 6, 10], 2.0), random([1, 1, 4], 1.0)];
        let op = |f: fn(Tensor<3>, Tensor<1>, f64) -> Tensor<3>| {
            move |[x, weight]: [Tensor<3>; 2]| {
                let x = x.swap_dims(0, 2).narrow(1, 2, 3);
                f(x, weight.flatten(0, 2), 1e-5)
            }
        };
        assert_fused(inputs, op(rms_norm), op(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [random([3, 8], 1.0), random([1, 8], 1.0)];
        assert_finite_differences(&inputs, |[x, weight]| {
            rms_norm(x, weight.flatten(0, 1), 1e-5)
        });
    }
}
