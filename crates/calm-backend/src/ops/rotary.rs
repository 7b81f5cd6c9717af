//! Rotary position encoding.

use burn::tensor::Tensor;

/// Turns each pair `(x[i], x[i + d_head / 2])` by the angle of its position and frequency
/// (arXiv 2104.09864, in the half-split layout of Hugging Face checkpoints).
///
/// # Shapes
///
/// - `x`: `[batch, heads, seq, d_head]`
/// - `cos`, `sin`: `[batch, 1, seq, d_head / 2]` or `[1, 1, seq, d_head / 2]`
/// - output: as `x`
pub fn rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    let half = x.dims()[3] / 2;
    let first = x.clone().narrow(3, 0, half);
    let second = x.narrow(3, half, half);
    let turned_first = first.clone() * cos.clone() - second.clone() * sin.clone();
    let turned_second = second * cos + first * sin;
    Tensor::cat(vec![turned_first, turned_second], 3)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

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
}
