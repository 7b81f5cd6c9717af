//! Rotary position encoding.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "gpu")]
pub(super) mod gpu;

use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits_or_half, operation};

/// Rotates each pair `(x[i], x[i + d_head / 2])` by the angle of its position and frequency
/// (arXiv 2104.09864, in the half-split layout of Hugging Face checkpoints).
///
/// The angles are constants: they get no gradient.
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
        return Tensor::from_dispatch(Dispatch::run(x, cos, sin));
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

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    Rotary {
        inputs: [x],
        constants: [cos: FloatTensor, sin: FloatTensor],
        settings: [],
    }
    Flex("flex") => cpu::forward;
    Cube("gpu") => gpu::forward, inference gpu::inference;
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::ops::tests::{assert_finite_differences, assert_fused, random};

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
