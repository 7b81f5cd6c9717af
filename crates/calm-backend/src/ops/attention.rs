//! Scaled dot-product attention with grouped key-value heads.

use burn::tensor::module::attention as fused_attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Tensor};

/// `softmax(scale · Q Kᵀ + mask) V`, the softmax in `f32`.
///
/// Each key-value head serves `heads / kv_heads` query heads in a row; keys and values are never
/// repeated in memory. A query row that sees no key gives zeros, not NaN.
///
/// # Shapes
///
/// - `queries`: `[batch, heads, seq_q, d_head]`
/// - `keys`: `[batch, kv_heads, seq_k, d_head]`
/// - `values`: `[batch, kv_heads, seq_k, d_value]`
/// - `masked`: `[batch, 1, seq_q, seq_k]` or `[1, 1, seq_q, seq_k]`, `true` where nothing may be
///   seen
/// - output: `[batch, heads, seq_q, d_value]`
///
/// # Panics
///
/// If `kv_heads` does not divide `heads`, or the shapes disagree otherwise.
pub fn attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
) -> Tensor<4> {
    let [batch, heads, seq_q, d_head] = queries.dims();
    let kv_heads = keys.dims()[1];
    assert!(
        heads.is_multiple_of(kv_heads),
        "{kv_heads} key-value heads for {heads} heads"
    );

    // The query heads of a group become further rows of one head, so that they meet their shared
    // keys in a single matrix product.
    let group = heads / kv_heads;
    let queries = queries.reshape([batch, kv_heads, group * seq_q, d_head]);
    let masked = masked.map(|masked| repeat_rows(masked, group));

    let tracked = [&queries, &keys, &values]
        .iter()
        .any(|x| x.device().is_autodiff());
    let output = if tracked {
        separate_attention(queries, keys, values, masked, scale)
    } else {
        let options = AttentionModuleOptions {
            scale: Some(scale),
            ..Default::default()
        };
        fused_attention(queries, keys, values, masked, None, options)
    };
    let d_value = output.dims()[3];
    output.reshape([batch, heads, seq_q, d_value])
}

/// The mask once for every query head of a group: `[_, 1, group * seq_q, seq_k]`.
fn repeat_rows(masked: Tensor<4, Bool>, group: usize) -> Tensor<4, Bool> {
    let [batch, _, seq_q, seq_k] = masked.dims();
    if group == 1 {
        return masked;
    }
    masked
        .expand([batch, group, seq_q, seq_k])
        .reshape([batch, 1, group * seq_q, seq_k])
}

/// Attention out of separate operations, for the backward pass.
///
/// Burn's own differentiable attention also differentiates through the row maximum, whose
/// gradient is zero in exact arithmetic, and normalises the weights `[.., seq_q, seq_k]`; here the
/// smaller product `[.., seq_q, d_value]` is normalised.
fn separate_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
) -> Tensor<4> {
    let dtype = queries.dtype();
    let scores = (queries * scale)
        .matmul(keys.swap_dims(2, 3))
        .cast(DType::F32);
    let scores = match masked {
        Some(masked) => scores.mask_fill(masked, f32::NEG_INFINITY),
        None => scores,
    };
    // The two lower bounds only matter for rows that see nothing: -∞ - (-∞) and 0 / 0.
    let row_max = scores.clone().detach().max_dim(3).clamp_min(f32::MIN);
    let weights = (scores - row_max).exp();
    let row_sum = weights.clone().sum_dim(3).clamp_min(f32::MIN_POSITIVE);
    weights.cast(dtype).matmul(values) / row_sum.cast(dtype)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;

    fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    /// Query `t` sees keys up to `t + seq_k - seq_q`.
    fn causal(seq_q: usize, seq_k: usize, device: &Device) -> Tensor<4, Bool> {
        Tensor::<2, Bool>::tril_mask([seq_q, seq_k], (seq_k - seq_q) as i64, device)
            .unsqueeze_dims(&[0, 1])
    }

    fn assert_close(a: Tensor<4>, b: Tensor<4>) {
        a.into_data()
            .assert_approx_eq::<f32>(&b.into_data(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn two_keys_by_hand() {
        let device = Device::default();
        let queries = Tensor::<4>::from_floats([[[[1.0, 0.0]]]], &device);
        let keys = Tensor::<4>::from_floats([[[[3f32.ln(), 5.0], [0.0, -7.0]]]], &device);
        let values = Tensor::<4>::from_floats([[[[4.0], [8.0]]]], &device);
        // Weights 3/4 and 1/4.
        let output = attention(queries, keys, values, None, 1.0);
        assert_close(output, Tensor::from_floats([[[[5.0]]]], &device));
    }

    #[test]
    fn tracked_and_fused_agree() {
        let device = Device::default();
        let [q, k, v] = [[2, 6, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]].map(|s| random(s, &device));
        let masked = Some(causal(3, 5, &device));
        let fused = attention(q.clone(), k.clone(), v.clone(), masked.clone(), 0.3);
        let tracked = attention(q.autodiff(), k, v, masked, 0.3);
        assert_close(fused, tracked.inner());
    }

    #[test]
    fn grouped_heads_are_repeated_heads() {
        let device = Device::default();
        let [q, k, v] = [[2, 6, 4, 8], [2, 2, 4, 8], [2, 2, 4, 8]].map(|s| random(s, &device));
        let masked = Some(causal(4, 4, &device));
        let repeat = |x: Tensor<4>| {
            x.reshape([2, 2, 1, 32])
                .repeat_dim(2, 3)
                .reshape([2, 6, 4, 8])
        };
        let grouped = attention(q.clone(), k.clone(), v.clone(), masked.clone(), 0.3);
        assert_close(grouped, attention(q, repeat(k), repeat(v), masked, 0.3));
    }

    #[test]
    fn rows_that_see_nothing_give_zero_and_finite_gradients() {
        let plain = Device::default();
        let device = plain.clone().autodiff();
        let [q, k, v] = [(); 3].map(|()| random([1, 2, 2, 4], &device).require_grad());
        let masked = Tensor::<4, Bool>::from_data([[[[true, true], [false, true]]]], &device);

        let output = attention(q.clone(), k.clone(), v.clone(), Some(masked.clone()), 0.5);
        let first_row = output.clone().inner().slice([0..1, 0..2, 0..1]);
        assert_eq!(first_row.abs().sum().into_scalar::<f32>(), 0.0);
        let gradients = output.square().sum().backward();
        for x in [&q, &k, &v] {
            let gradient = x.grad(&gradients).unwrap();
            assert!(gradient.abs().sum().into_scalar::<f32>().is_finite());
        }

        let output = attention(q.inner(), k.inner(), v.inner(), Some(masked.inner()), 0.5);
        let first_row = output.slice([0..1, 0..2, 0..1]);
        assert_eq!(first_row.abs().sum().into_scalar::<f32>(), 0.0);
    }
}
