//! Bounded logits, and attention with bounded scores (Gemma 2, arXiv 2408.00118, section 2).

use burn::tensor::{Bool, Tensor};

use super::attention::stepwise;
#[cfg(any(feature = "flex", feature = "gpu"))]
use super::attention::{Scoring, by_kernel};

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
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if let Some(output) = by_kernel(
        [&queries, &keys, &values],
        masked.as_ref(),
        Scoring {
            scale: scale as f32,
            cap: Some(cap as f32),
        },
    ) {
        return output;
    }
    plain(queries, keys, values, masked, scale, cap)
}

/// [`softcap_attention`] out of Burn's own operations.
///
/// # Panics
///
/// As [`softcap_attention`].
pub fn plain(
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
    use burn::tensor::{Device, Tolerance};

    use super::*;
    use crate::ops::attention;
    use crate::ops::check::{self, assert_close, assert_finite_differences, assert_fused};

    fn random(shape: [usize; 4]) -> Tensor<4> {
        check::random(shape, 1.0)
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

    type Attention =
        fn(Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4, Bool>>, f64, f64) -> Tensor<4>;

    /// Causal, with the first `kv_heads` of the heads of keys and values.
    fn causal(f: Attention, kv_heads: usize) -> impl Fn([Tensor<4>; 3]) -> Tensor<4> {
        move |[queries, keys, values]| {
            let seq = queries.dims()[2];
            let masked = Tensor::<2, Bool>::tril_mask([seq, seq], 0, &queries.device());
            let [keys, values] = [keys, values].map(|x| x.narrow(1, 0, kv_heads));
            let masked = Some(masked.unsqueeze_dims(&[0, 1]));
            f(queries, keys, values, masked, 0.7, 1.5)
        }
    }

    #[test]
    fn as_the_plain_composition() {
        for (shape, kv_heads) in [
            ([1, 1, 1, 4], 1),
            ([2, 4, 7, 6], 2),
            ([1, 4, 70, 8], 2),
            ([2, 2, 131, 5], 2),
        ] {
            let inputs = [(); 3].map(|()| random(shape));
            assert_fused(
                inputs,
                causal(softcap_attention, kv_heads),
                causal(plain, kv_heads),
            );
        }
    }

    #[test]
    fn one_query_as_in_decoding() {
        let inputs = [[3, 4, 1, 6], [3, 2, 90, 6], [3, 2, 90, 5]].map(random);
        let run = |f: Attention| {
            let [queries, keys, values] = inputs.clone();
            f(queries, keys, values, None, 0.7, 1.5)
        };
        assert_close(run(softcap_attention), run(plain));
    }

    #[test]
    fn finite_differences() {
        let inputs = [(); 3].map(|()| random([2, 2, 5, 6]));
        assert_finite_differences(&inputs, causal(softcap_attention, 1));
    }

    #[test]
    fn rows_that_see_nothing_give_zero() {
        let [q, k, v] = [(); 3].map(|()| random([1, 2, 2, 4]));
        let masked = Tensor::<4, Bool>::from_data([[[[true; 2]; 2]]], &Device::default());
        let output = softcap_attention(q, k, v, Some(masked), 0.5, 50.0);
        assert_eq!(output.abs().sum().into_scalar::<f32>(), 0.0);
    }
}
