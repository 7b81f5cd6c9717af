//! Scaled dot-product attention with grouped key-value heads, its scores bounded, biased or neither.

#[cfg(feature = "flex")]
pub(super) mod cpu;
#[cfg(feature = "gpu")]
pub(super) mod gpu;
mod scoring;
#[cfg(test)]
mod tests;

use burn::tensor::module::attention as burn_attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Tensor};

#[cfg(any(feature = "flex", feature = "gpu"))]
use super::operation::{Dispatch, fits_or_half, operation};
use super::softcap;
#[cfg(any(feature = "flex", feature = "gpu"))]
pub(super) use scoring::Scoring;
pub use scoring::keeps_attention_weights;

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
    if let Some(output) = fused(inputs, masked.as_ref(), scale, None) {
        return output;
    }
    if keys.dims()[2] == 0 {
        // GPUs have no maximum of nothing.
        let [batch, heads, seq_q, _] = queries.dims();
        return Tensor::<4>::zeros([batch, heads, seq_q, values.dims()[3]], &queries.device())
            .cast(queries.dtype());
    }
    if inputs.iter().any(|x| x.device().is_autodiff()) {
        return plain::attention(queries, keys, values, masked, scale);
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
        burn_attention(queries, keys, values, masked, None, options)
    })
}

/// [`attention`] with every score bounded to `±cap` before the mask (Gemma 2, arXiv 2408.00118,
/// section 2); the softmax in `f32`.
///
/// # Shapes
///
/// As of [`attention`].
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
    if let Some(output) = fused(
        [&queries, &keys, &values],
        masked.as_ref(),
        scale,
        Some(cap),
    ) {
        return output;
    }
    plain::softcap_attention(queries, keys, values, masked, scale, cap)
}

/// [`attention`] with biases, which are constants, added to the scaled scores before the mask (ALiBi,
/// arXiv 2108.12409); the softmax in `f32`.
///
/// In half precision, scores are rounded once they are biased, as in `transformers`.
///
/// # Shapes
///
/// As of [`attention`], and
///
/// - `bias`: `[batch or 1, heads, 1, seq_k]`, in `f32`
///
/// # Panics
///
/// If `kv_heads` does not divide `heads`, or the shapes disagree otherwise.
pub fn biased_attention(
    queries: Tensor<4>,
    keys: Tensor<4>,
    values: Tensor<4>,
    masked: Option<Tensor<4, Bool>>,
    scale: f64,
    bias: Tensor<4>,
) -> Tensor<4> {
    #[cfg(any(feature = "flex", feature = "gpu"))]
    if fit([&queries, &keys, &values]) {
        let masked = masked.unwrap_or_else(|| nothing_hidden(&keys));
        let scoring = Scoring::new(scale, None);
        let [queries, keys, values, bias] =
            [queries, keys, values, bias].map(Tensor::into_dispatch);
        let masked = masked.into_dispatch();
        let output =
            <Dispatch as BiasedAttention>::run(queries, keys, values, masked, bias, scoring);
        return Tensor::from_dispatch(output);
    }
    plain::biased_attention(queries, keys, values, masked, scale, bias)
}

/// The same out of Burn's own operations.
pub(super) mod plain {
    use super::*;

    /// [`attention`](super::attention) out of Burn's own operations.
    ///
    /// Burn's own differentiable attention also differentiates through the row maximum, whose
    /// gradient is zero in exact arithmetic, and normalises the weights `[.., seq_q, seq_k]`; here
    /// the smaller product `[.., seq_q, d_value]` is normalised.
    ///
    /// # Panics
    ///
    /// As [`attention`](super::attention).
    pub fn attention(
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

    /// [`softcap_attention`](super::softcap_attention) out of Burn's own operations.
    ///
    /// # Panics
    ///
    /// As [`softcap_attention`](super::softcap_attention).
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

    /// [`biased_attention`](super::biased_attention) out of Burn's own operations.
    ///
    /// # Panics
    ///
    /// As [`biased_attention`](super::biased_attention).
    pub fn biased_attention(
        queries: Tensor<4>,
        keys: Tensor<4>,
        values: Tensor<4>,
        masked: Option<Tensor<4, Bool>>,
        scale: f64,
        bias: Tensor<4>,
    ) -> Tensor<4> {
        let (dtype, seq_q) = (queries.dtype(), queries.dims()[2]);
        heads_as_rows(queries, keys, |queries, keys, group| {
            let [queries, keys] = [queries, keys].map(|x| x.cast(DType::F32));
            let products = queries.matmul(keys.swap_dims(2, 3));
            let scores = products * scale + bias_of_rows(bias, group, seq_q);
            let masked = masked.map(|masked| repeat_rows(masked, group));
            let scores = scores.cast(dtype).cast(DType::F32);
            let (weights, row_sum) = softmax_parts(scores, masked);
            (weights / row_sum).cast(dtype).matmul(values)
        })
    }
}

/// The output of a fused kernel, if there is one for these tensors.
#[cfg(any(feature = "flex", feature = "gpu"))]
fn fused(
    inputs: [&Tensor<4>; 3],
    masked: Option<&Tensor<4, Bool>>,
    scale: f64,
    cap: Option<f64>,
) -> Option<Tensor<4>> {
    fit(inputs).then(|| {
        let masked = masked.cloned();
        let masked = masked.unwrap_or_else(|| nothing_hidden(inputs[1]));
        let [queries, keys, values] = inputs.map(|x| x.clone().into_dispatch());
        let (masked, scoring) = (masked.into_dispatch(), Scoring::new(scale, cap));
        let output = <Dispatch as Attention>::run(queries, keys, values, masked, scoring);
        Tensor::from_dispatch(output)
    })
}

/// Whether there is a fused kernel for these tensors.
#[cfg(any(feature = "flex", feature = "gpu"))]
fn fit(inputs: [&Tensor<4>; 3]) -> bool {
    let dtype = inputs[0].dtype();
    let fits = |x: &Tensor<4>| fits_or_half(x) && x.dtype() == dtype;
    inputs.into_iter().all(fits)
}

/// One row that hides nothing, which stands for all.
#[cfg(any(feature = "flex", feature = "gpu"))]
fn nothing_hidden(keys: &Tensor<4>) -> Tensor<4, Bool> {
    Tensor::zeros([1, 1, 1, keys.dims()[2]], &keys.device())
}

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    Attention {
        inputs: [queries, keys, values],
        constants: [masked: BoolTensor],
        settings: [scoring: Scoring],
    }
    Flex("flex") => cpu::forward, inference cpu::inference;
    Cube("gpu") => gpu::forward;
}

#[cfg(any(feature = "flex", feature = "gpu"))]
operation! {
    BiasedAttention {
        inputs: [queries, keys, values],
        constants: [masked: BoolTensor, bias: FloatTensor],
        settings: [scoring: Scoring],
    }
    Flex("flex") => cpu::biased_forward, inference cpu::biased_inference;
    Cube("gpu") => gpu::biased_forward;
}

/// [`attention`] step by step; `bound` changes the scores before the mask. In half precision scores
/// and weights are rounded where `transformers` rounds them, so that models give the numbers that
/// they were trained with.
fn stepwise(
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

/// Numerators and denominator of the softmax over the last axis; `true` in `masked` counts as -∞.
/// Rows that see nothing have weights of zero, and a denominator that is not zero.
fn softmax_parts(scores: Tensor<4>, masked: Option<Tensor<4, Bool>>) -> (Tensor<4>, Tensor<4>) {
    let scores = match masked {
        Some(masked) => scores.mask_fill(masked, f32::NEG_INFINITY),
        None => scores,
    };
    // The lower bounds only matter for rows that see nothing: -∞ - (-∞) and 0 / 0.
    let row_max = scores.clone().detach().max_dim(3).clamp_min(f32::MIN);
    let weights = (scores - row_max).exp();
    let row_sum = weights.clone().sum_dim(3);
    (weights, row_sum.clamp_min(f32::MIN_POSITIVE))
}

/// Joins the query heads of a group to rows of one head, so that a single matrix product multiplies
/// them with their shared keys: `attend` gets queries `[batch, kv_heads, group * seq_q, d_head]`,
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

/// The biases of all rows of a group: `[batch or 1, kv_heads, group * seq_q or 1, seq_k]`.
fn bias_of_rows(bias: Tensor<4>, group: usize, seq_q: usize) -> Tensor<4> {
    let [batch, heads, _, seq_k] = bias.dims();
    if group == 1 {
        return bias;
    }
    bias.expand([batch, heads, seq_q, seq_k])
        .reshape([batch, heads / group, group * seq_q, seq_k])
}
