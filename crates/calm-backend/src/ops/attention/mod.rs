//! Scaled dot-product attention with grouped key-value heads.

use burn::tensor::module::attention as fused_attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::extension::{Dispatch, FusedOps, fits_or_half};

#[cfg(feature = "flex")]
pub(super) mod fused;
#[cfg(feature = "flex")]
pub(super) mod inference;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "gpu")]
pub(super) mod recomputed;
#[cfg(feature = "flex")]
mod single;
#[cfg(feature = "flex")]
mod small;
#[cfg(feature = "flex")]
mod tiled;

/// Above so many rows or columns of scores a general matrix product pays for one head.
const SHORT: usize = 64;

/// Whether [`attention`] over texts of this length keeps its weights for the way back, rather than
/// computing them again. So it is on the processor; GPUs never keep them.
pub fn keeps_attention_weights(seq: usize) -> bool {
    seq <= SHORT
}

/// What becomes of the product of a query and a key before the mask: `scale` times it, and with a
/// cap `cap · tanh(scale · product / cap)`.
#[cfg(any(feature = "flex", feature = "gpu"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scoring {
    pub(super) scale: f32,
    pub(super) cap: Option<f32>,
}

/// By a fused kernel, if there is one for these tensors.
#[cfg(any(feature = "flex", feature = "gpu"))]
pub(super) fn by_kernel(
    inputs: [&Tensor<4>; 3],
    masked: Option<&Tensor<4, Bool>>,
    scoring: Scoring,
) -> Option<Tensor<4>> {
    let dtype = inputs[0].dtype();
    let fits = |x: &Tensor<4>| fits_or_half(x) && x.dtype() == dtype;
    inputs.into_iter().all(fits).then(|| {
        // One row that hides nothing stands for all.
        let all_seen = || Tensor::zeros([1, 1, 1, inputs[1].dims()[2]], &inputs[1].device());
        let masked = masked.cloned().unwrap_or_else(all_seen).into_dispatch();
        let [queries, keys, values] = inputs.map(|x| x.clone().into_dispatch());
        Tensor::from_dispatch(Dispatch::attention(queries, keys, values, masked, scoring))
    })
}

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
    let inputs = [&queries, &keys, &values];
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if let Some(output) = by_kernel(
        inputs,
        masked.as_ref(),
        Scoring {
            scale: scale as f32,
            cap: None,
        },
    ) {
        return output;
    }
    if keys.dims()[2] == 0 {
        // GPUs have no maximum of nothing.
        let [batch, heads, seq_q, _] = queries.dims();
        return Tensor::<4>::zeros([batch, heads, seq_q, values.dims()[3]], &queries.device())
            .cast(queries.dtype());
    }
    if inputs.iter().any(|x| x.device().is_autodiff()) {
        return plain(queries, keys, values, masked, scale);
    }
    if queries.dtype() != DType::F32 {
        return stepwise(queries, keys, values, masked, scale, |scores| scores);
    }
    heads_as_rows(queries, keys, |queries, keys, group| {
        let options = AttentionModuleOptions {
            scale: Some(scale),
            ..Default::default()
        };
        let masked = masked.map(|masked| repeat_rows(masked, group));
        fused_attention(queries, keys, values, masked, None, options)
    })
}

/// [`attention`] step by step, where `bound` changes the scores before the mask. In half precision
/// scores and weights are rounded as well: at the places where `transformers` rounds them, so that
/// models give the numbers that they were trained with.
pub(super) fn stepwise(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
    bound: impl FnOnce(Tensor<4>) -> Tensor<4>,
) -> Tensor<4> {
    let dtype = queries.dtype();
    heads_as_rows(queries, keys, |queries, keys, group| {
        let scores = bound(queries.matmul(keys.swap_dims(2, 3)) * scale);
        let masked = masked.map(|masked| repeat_rows(masked, group));
        let (weights, row_sum) = softmax_parts(scores.cast(DType::F32), masked);
        (weights / row_sum).cast(dtype).matmul(values)
    })
}

/// [`attention`] out of separate operations, for the backward pass.
///
/// Burn's own differentiable attention also differentiates through the row maximum, whose
/// gradient is zero in exact arithmetic, and normalises the weights `[.., seq_q, seq_k]`; here the
/// smaller product `[.., seq_q, d_value]` is normalised.
///
/// # Panics
///
/// As [`attention`].
pub fn plain(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
) -> Tensor<4> {
    let dtype = queries.dtype();
    heads_as_rows(queries, keys, |queries, keys, group| {
        let scores = (queries * scale)
            .matmul(keys.swap_dims(2, 3))
            .cast(DType::F32);
        let masked = masked.map(|masked| repeat_rows(masked, group));
        let (weights, row_sum) = softmax_parts(scores, masked);
        weights.cast(dtype).matmul(values) / row_sum.cast(dtype)
    })
}

/// Numerators and denominator of the softmax over the last axis, `true` in `masked` counting as -∞.
/// Rows that see nothing have weights of zero and a sum that can be divided by.
fn softmax_parts(scores: Tensor<4>, masked: Option<Tensor<4, Bool>>) -> (Tensor<4>, Tensor<4>) {
    let scores = match masked {
        Some(masked) => scores.mask_fill(masked, f32::NEG_INFINITY),
        None => scores,
    };
    // The two lower bounds only matter for rows that see nothing: -∞ - (-∞) and 0 / 0.
    let row_max = scores.clone().detach().max_dim(3).clamp_min(f32::MIN);
    let weights = (scores - row_max).exp();
    let row_sum = weights.clone().sum_dim(3);
    (weights, row_sum.clamp_min(f32::MIN_POSITIVE))
}

/// Makes the query heads of a group further rows of one head, so that they meet their shared keys
/// in a single matrix product: `attend` gets queries `[batch, kv_heads, group * seq_q, d_head]`,
/// the keys and the size of a group.
fn heads_as_rows(
    queries: Tensor<4>,
    keys: Tensor<4>,
    attend: impl FnOnce(Tensor<4>, Tensor<4>, usize) -> Tensor<4>,
) -> Tensor<4> {
    let [batch, heads, seq_q, d_head] = queries.dims();
    let kv_heads = keys.dims()[1];
    assert!(
        heads.is_multiple_of(kv_heads),
        "{kv_heads} key-value heads for {heads} heads"
    );
    let group = heads / kv_heads;
    if group == 1 {
        return attend(queries, keys, group);
    }
    let queries = queries.reshape([batch, kv_heads, group * seq_q, d_head]);
    let output = attend(queries, keys, group);
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tolerance};

    use super::*;
    use crate::ops::check;

    fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn inputs<const N: usize>(shapes: [[usize; 4]; N]) -> [Tensor<4>; N] {
        shapes.map(|shape| random(shape, &Device::default()))
    }

    type Attention = fn(Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4, Bool>>, f64) -> Tensor<4>;

    /// Some places of each row at random, in one row all.
    fn patches([batch, seq_q, seq_k]: [usize; 3]) -> Tensor<4, Bool> {
        let noise = random([batch, 1, seq_q, seq_k], &Device::default());
        let first = Tensor::zeros([batch, 1, 1, seq_k], &Device::default());
        noise
            .slice_assign([0..batch, 0..1, 0..1], first)
            .lower_equal_elem(0.3)
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
    fn with_and_without_a_gradient_agree() {
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

    #[test]
    fn as_the_plain_composition() {
        for ([batch, heads, kv_heads], [seq_q, seq_k], [d_head, d_value]) in [
            ([1, 1, 1], [1, 1], [1, 1]),
            ([2, 3, 3], [4, 4], [8, 8]),
            ([2, 6, 2], [3, 17], [5, 7]),
            ([3, 4, 1], [33, 20], [16, 16]),
            ([2, 2, 2], [90, 70], [32, 48]),
            ([2, 6, 2], [1, 150], [20, 7]),
            ([2, 2, 1], [300, 280], [8, 16]),
        ] {
            let queries = [batch, heads, seq_q, d_head];
            let keys = [batch, kv_heads, seq_k, d_head];
            let values = [batch, kv_heads, seq_k, d_value];
            let masks = [
                None,
                Some(patches([1, seq_q, seq_k])),
                Some(patches([batch, seq_q, seq_k])),
            ];
            for masked in masks {
                let op = |f: Attention| {
                    let masked = masked.clone();
                    move |[q, k, v]: [_; 3]| f(q, k, v, masked.clone(), 0.4)
                };
                let inputs = inputs([queries, keys, values]);
                check::assert_fused(inputs, op(attention), op(plain));
            }
        }
    }

    #[test]
    fn long_texts_in_tiles() {
        // Causal, through a window, and a text that begins late.
        let device = Device::default();
        let later = causal(300, 310, &device);
        let outside = causal(300, 310, &device).roll(&[40], &[3]).bool_not();
        for masked in [
            later.clone(),
            later.clone().bool_or(outside),
            later.flip([2, 3]),
        ] {
            let op = |f: Attention| {
                let masked = masked.clone();
                move |[q, k, v]: [_; 3]| f(q, k, v, Some(masked.clone()), 0.4)
            };
            let inputs = inputs([[1, 4, 300, 8], [1, 2, 310, 8], [1, 2, 310, 8]]);
            check::assert_fused(inputs, op(attention), op(plain));
        }
    }

    #[test]
    fn of_no_keys() {
        let [q, k, v] = inputs([[1, 2, 100, 8], [1, 2, 0, 8], [1, 2, 0, 8]]);
        let output = attention(q, k, v, None, 0.4);
        assert_eq!(output.dims(), [1, 2, 100, 8]);
        assert_eq!(output.abs().sum().into_scalar::<f32>(), 0.0);
    }

    #[test]
    fn of_views() {
        // Heads split off by a swap of axes; a mask and keys that are windows of larger ones.
        let masked = patches([8, 6, 2]).swap_dims(0, 3).narrow(3, 1, 5);
        let op = |f: Attention| {
            let masked = masked.clone();
            move |[q, k, v]: [Tensor<4>; 3]| {
                let k = k.swap_dims(1, 2).narrow(2, 1, 5);
                let q = q.swap_dims(1, 2);
                f(q, k, v.swap_dims(1, 2), Some(masked.clone()), 0.4).swap_dims(1, 2)
            }
        };
        let inputs = inputs([[2, 6, 4, 8], [2, 7, 2, 8], [2, 5, 2, 8]]);
        check::assert_fused(inputs, op(attention), op(plain));
    }

    #[test]
    fn each_input_may_be_the_only_one_tracked() {
        let inputs = inputs([[2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]]);
        for tracked in 0..3 {
            let op = |f: Attention| {
                let inputs = inputs.clone();
                move |[x]: [Tensor<4>; 1]| {
                    let mut inputs = inputs.clone();
                    inputs[tracked] = x;
                    let [q, k, v] = inputs;
                    f(q, k, v, None, 0.4)
                }
            };
            check::assert_fused([inputs[tracked].clone()], op(attention), op(plain));
        }
    }

    #[test]
    fn finite_differences() {
        let masked = causal(3, 5, &Device::default());
        let inputs = inputs([[2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]]);
        check::assert_finite_differences(&inputs, |[q, k, v]| {
            attention(q, k, v, Some(masked.clone()), 0.4)
        });
    }
}
