//! Bounded logits, and attention with bounded scores (Gemma 2, arXiv 2408.00118, section 2).

use burn::tensor::{Bool, Tensor};

use super::attention::stepwise;

/// `cap · tanh(x / cap)`.
///
/// # Shapes
///
/// - `x`, output: any
pub fn softcap<const D: usize>(x: Tensor<D>, cap: f64) -> Tensor<D> {
    (x / cap).tanh() * cap
}

/// [`attention`](super::attention) with every score bounded to `±cap` before the mask; the
/// softmax in `f32`.
///
/// # Shapes
///
/// As of [`attention`](super::attention).
///
/// # Panics
///
/// If `kv_heads` does not divide `heads`, or the shapes disagree otherwise.
pub fn softcap_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
    cap: f64,
) -> Tensor<4> {
    stepwise(queries, keys, values, masked, scale, |scores| {
        softcap(scores, cap)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::ops::attention;

    fn random(shape: [usize; 4]) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::default())
    }

    #[test]
    fn caps_by_hand() {
        let x = Tensor::<1>::from_floats([0.0, 1e6, -1e6], &Device::default());
        let capped: Vec<f32> = softcap(x, 30.0).into_data().try_to_vec().unwrap();
        assert_eq!(capped, [0.0, 30.0, -30.0]);
    }

    #[test]
    fn a_cap_far_away_changes_nothing() {
        let device = Device::default();
        let [q, k, v] = [[2, 6, 3, 8], [2, 2, 5, 8], [2, 2, 5, 4]].map(random);
        let masked = Tensor::<2, Bool>::tril_mask([3, 5], 2, &device).unsqueeze_dims(&[0, 1]);
        let plain = attention(q.clone(), k.clone(), v.clone(), Some(masked.clone()), 0.3);
        softcap_attention(q, k, v, Some(masked), 0.3, 1e3)
            .into_data()
            .assert_approx_eq::<f32>(&plain.into_data(), Tolerance::absolute(1e-3));
    }

    #[test]
    fn rows_that_see_nothing_give_zero() {
        let [q, k, v] = [(); 3].map(|()| random([1, 2, 2, 4]));
        let masked = Tensor::<4, Bool>::from_data([[[[true; 2]; 2]]], &Device::default());
        let output = softcap_attention(q, k, v, Some(masked), 0.5, 50.0);
        assert_eq!(output.abs().sum().into_scalar::<f32>(), 0.0);
    }
}
