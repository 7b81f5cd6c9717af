//! Normalisation to mean zero and variance one.

use burn::tensor::{DType, Tensor};

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
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().square().mean_dim(D - 1);
    let normed = centred * (variance + epsilon).sqrt().recip();
    let [weight, bias] = [weight, bias].map(|x| x.cast(DType::F32).unsqueeze());
    (normed * weight + bias).cast(dtype)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

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
}
