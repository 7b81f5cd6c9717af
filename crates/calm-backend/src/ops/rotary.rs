//! Rotary position encoding.

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

/// Turns each pair `(x[i], x[i + d_head / 2])` by the angle of its position and frequency
/// (arXiv 2104.09864, in the half-split layout of Hugging Face checkpoints).
///
/// The angles are constants: no gradient is asked of them.
///
/// # Shapes
///
/// - `x`: `[batch, heads, seq, d_head]`
/// - `cos`, `sin`: `[batch, 1, seq, d_head / 2]` or `[1, 1, seq, d_head / 2]`
/// - output: as `x`
pub fn rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if [&x, &cos, &sin].into_iter().all(fits_or_half) {
        let [x, cos, sin] = [x, cos, sin].map(Tensor::into_dispatch);
        return Tensor::from_dispatch(Dispatch::rotary(x, cos, sin));
    }
    plain(x, cos, sin)
}

/// [`rotary`] out of Burn's own operations.
pub fn plain(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    Tensor::cat(vec![turned_first, turned_second], 3)
}

#[cfg(feature = "flex")]
pub(super) mod fused {
    use std::iter::zip;

    use burn::backend::Flex;

    use super::super::extension::Saved;
    use super::super::kernel::{contiguous, fill, task_of_rows, with_shape_of};
    use super::super::processor::FlexTensor;

    /// Cosines and sines: a turn is linear, so the inputs are not needed for its gradient.
    #[derive(Debug, Clone)]
    pub(in super::super) struct Angles {
        cos: FlexTensor,
        sin: FlexTensor,
    }

    pub(in super::super) fn forward(
        x: FlexTensor,
        cos: FlexTensor,
        sin: FlexTensor,
    ) -> (FlexTensor, Angles) {
        let angles = Angles {
            cos: contiguous(cos),
            sin: contiguous(sin),
        };
        (angles.turn(x, 1.0), angles)
    }

    impl Saved<Flex, 1> for Angles {
        fn gradients(self, output: FlexTensor, [wanted]: [bool; 1]) -> [Option<FlexTensor>; 1] {
            [wanted.then(|| self.turn(output, -1.0))]
        }
    }

    impl Angles {
        /// Turns forwards (1) or back (-1). Heads that were split off by a swap of axes keep that
        /// order in memory: nothing is copied, here or when the axes are swapped back.
        fn turn(&self, x: FlexTensor, direction: f32) -> FlexTensor {
            let swapped = x.layout().transpose(1, 2);
            if x.is_contiguous() || !swapped.is_contiguous() {
                return self.turn_rows(&contiguous(x), Order::HeadsOutside, direction);
            }
            let turned = self.turn_rows(
                &contiguous(x.with_layout(swapped)),
                Order::HeadsInside,
                direction,
            );
            let layout = turned.layout().transpose(1, 2);
            turned.with_layout(layout)
        }

        fn turn_rows(&self, x: &FlexTensor, order: Order, direction: f32) -> FlexTensor {
            let [_, outer, inner, width] = x.layout().shape().dims();
            let [batches, _, positions, half] = self.cos.layout().shape().dims();
            assert_eq!(half * 2, width, "one angle for each pair");
            let (cos, sin): (&[f32], &[f32]) = (self.cos.storage(), self.sin.storage());
            let values: &[f32] = x.storage();
            let (part, task) = (inner * width, task_of_rows(inner * width));
            let output = fill(
                values.len(),
                task,
                values.chunks(task).enumerate(),
                #[inline(always)]
                |output, (index, x)| {
                    let parts = zip(output.chunks_mut(part), x.chunks(part));
                    for (offset, (output, x)) in parts.enumerate() {
                        let at = index * (task / part) + offset;
                        let start = (at / outer) % batches * positions * half;
                        let (cos, sin) = (&cos[start..], &sin[start..]);
                        let (first, step) = match order {
                            Order::HeadsOutside => (0, half),
                            Order::HeadsInside => (at % outer * half, 0),
                        };
                        let angles = (&cos[first..], &sin[first..], step);
                        // Heads are narrow: a loop of known length has no remainder.
                        match half {
                            8 => turn_part(output, x, angles, 8, direction),
                            16 => turn_part(output, x, angles, 16, direction),
                            32 => turn_part(output, x, angles, 32, direction),
                            64 => turn_part(output, x, angles, 64, direction),
                            _ => turn_part(output, x, angles, half, direction),
                        }
                    }
                },
            );
            with_shape_of(x, output)
        }
    }

    /// How the rows of heads lie in memory.
    #[derive(Clone, Copy)]
    enum Order {
        /// `[batch, heads, seq, d_head]`.
        HeadsOutside,
        /// `[batch, seq, heads, d_head]`.
        HeadsInside,
    }

    /// Rows of one head or of one position; each row's angles are `step` after the last's.
    #[inline(always)]
    fn turn_part(
        output: &mut [f32],
        x: &[f32],
        (cos, sin, step): (&[f32], &[f32], usize),
        half: usize,
        direction: f32,
    ) {
        let rows = zip(output.chunks_exact_mut(2 * half), x.chunks_exact(2 * half));
        for (row, (output, x)) in rows.enumerate() {
            let (cos, sin) = (&cos[row * step..][..half], &sin[row * step..][..half]);
            let ((first, second), pair) = (x.split_at(half), output.split_at_mut(half));
            for i in 0..half {
                pair.0[i] = first[i] * cos[i] - direction * second[i] * sin[i];
                pair.1[i] = second[i] * cos[i] + direction * first[i] * sin[i];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::ops::check::{assert_finite_differences, assert_fused, random};

    #[test]
    fn a_quarter_turn_by_hand() {
        let device = Device::default();
        let x = Tensor::<4>::from_floats([[[[1.0, 2.0, 3.0, 4.0]]]], &device);
        let cos = Tensor::<4>::from_floats([[[[0.0, 1.0]]]], &device);
        let sin = Tensor::<4>::from_floats([[[[1.0, 0.0]]]], &device);
        let expected = Tensor::<4>::from_floats([[[[-3.0, 2.0, 1.0, 4.0]]]], &device);
        assert_eq!(rotary(x, cos, sin).into_data(), expected.into_data());
    }

    #[test]
    fn products_depend_on_the_distance_only() {
        let device = Device::default();
        let [q, k] = [(); 2]
            .map(|()| Tensor::<4>::random([1, 1, 1, 8], Distribution::Normal(0.0, 1.0), &device));
        let frequencies = Tensor::<1>::from_floats([1.0, 0.5, 0.1, 0.02], &device);
        let at = |x: &Tensor<4>, position: f64| {
            let angles = (frequencies.clone() * position).reshape([1, 1, 1, 4]);
            rotary(x.clone(), angles.clone().cos(), angles.sin())
        };
        let product = |a: f64, b: f64| (at(&q, a) * at(&k, b)).sum().into_data();
        product(7.0, 3.0)
            .assert_approx_eq::<f32>(&product(104.0, 100.0), Tolerance::absolute(1e-4));
    }

    fn angles(shape: [usize; 4]) -> (Tensor<4>, Tensor<4>) {
        let angles = random(shape, 3.0);
        (angles.clone().cos(), angles.sin())
    }

    #[test]
    fn as_the_plain_composition() {
        for [batch, heads, seq, half] in [[1, 1, 1, 1], [2, 3, 5, 4], [3, 2, 40, 21], [2, 4, 6, 8]]
        {
            let inputs = || [random([batch, heads, seq, 2 * half], 1.0)];
            for tables in [1, batch] {
                let (cos, sin) = angles([tables, 1, seq, half]);
                let fused = |[x]: [_; 1]| rotary(x, cos.clone(), sin.clone());
                let reference = |[x]: [_; 1]| plain(x, cos.clone(), sin.clone());
                assert_fused(inputs(), fused, reference);
            }
        }
    }

    #[test]
    fn of_views() {
        let x = random([3, 7, 4, 16], 1.0);
        let (cos, sin) = angles([3, 1, 7, 8]);
        let turn = |x| rotary(x, cos.clone(), sin.clone());
        let reference = |x| plain(x, cos.clone(), sin.clone());
        // Heads split off by a swap of axes, as decoders do, and the swap back.
        assert_fused(
            [x.clone()],
            |[x]| turn(x.swap_dims(1, 2)).swap_dims(1, 2),
            |[x]| reference(x.swap_dims(1, 2)).swap_dims(1, 2),
        );
        let view = |x: Tensor<4>| x.narrow(2, 1, 2).swap_dims(1, 2);
        assert_fused([x], |[x]| turn(view(x)), |[x]| reference(view(x)));
        let (cos, sin) = angles([3, 1, 8, 7]);
        let (cos, sin) = (cos.swap_dims(2, 3), sin.swap_dims(2, 3));
        let x = random([3, 2, 7, 16], 1.0);
        assert_fused(
            [x],
            |[x]| rotary(x, cos.clone(), sin.clone()),
            |[x]| plain(x, cos.clone(), sin.clone()),
        );
    }

    #[test]
    fn finite_differences() {
        let (cos, sin) = angles([1, 1, 3, 4]);
        let inputs = [random([2, 2, 3, 8], 1.0)];
        assert_finite_differences(&inputs, |[x]| rotary(x, cos.clone(), sin.clone()));
    }
}
