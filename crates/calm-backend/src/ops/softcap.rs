//! Bounded logits (Gemma 2, arXiv 2408.00118, section 2).

use burn::tensor::Tensor;

/// `cap · tanh(x / cap)`.
///
/// # Shapes
///
/// - `x`, output: any
pub fn softcap<const D: usize>(x: Tensor<D>, cap: f64) -> Tensor<D> {
    (x / cap).tanh() * cap
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn caps_by_hand() {
        let x = Tensor::<1>::from_floats([0.0, 1e6, -1e6], &Device::default());
        let capped: Vec<f32> = softcap(x, 30.0).into_data().try_to_vec().unwrap();
        assert_eq!(capped, [0.0, 30.0, -30.0]);
    }
}
