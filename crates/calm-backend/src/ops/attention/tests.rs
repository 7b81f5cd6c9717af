use burn::tensor::{Bool, Device, Distribution, Tensor, Tolerance};

use super::{attention, biased_attention, plain, softcap_attention};
use crate::ops::tests::{self as check, assert_finite_differences, assert_fused};

fn randn_on(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn randn(shape: [usize; 4]) -> Tensor<4> {
    randn_on(shape, &Device::default())
}

fn inputs<const N: usize>(shapes: [[usize; 4]; N]) -> [Tensor<4>; N] {
    shapes.map(randn)
}

type Attention = fn(Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4, Bool>>, f64) -> Tensor<4>;

/// Some places of each row at random, in one row all.
fn patches([batch, seq_q, seq_k]: [usize; 3]) -> Tensor<4, Bool> {
    let noise = randn_on([batch, 1, seq_q, seq_k], &Device::default());
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
    let [q, k, v] = [[2, 6, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]].map(|s| randn_on(s, &device));
    let masked = Some(causal(3, 5, &device));
    let fused = attention(q.clone(), k.clone(), v.clone(), masked.clone(), 0.3);
    let tracked = attention(q.autodiff(), k, v, masked, 0.3);
    assert_close(fused, tracked.inner());
}

#[test]
fn grouped_heads_are_repeated_heads() {
    let device = Device::default();
    let [q, k, v] = [[2, 6, 4, 8], [2, 2, 4, 8], [2, 2, 4, 8]].map(|s| randn_on(s, &device));
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
    let [q, k, v] = [(); 3].map(|()| randn_on([1, 2, 2, 4], &device).require_grad());
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
            assert_fused(inputs, op(attention), op(plain::attention));
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
        assert_fused(inputs, op(attention), op(plain::attention));
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
    assert_fused(inputs, op(attention), op(plain::attention));
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
        assert_fused(
            [inputs[tracked].clone()],
            op(attention),
            op(plain::attention),
        );
    }
}

#[test]
fn finite_differences() {
    let masked = causal(3, 5, &Device::default());
    let inputs = inputs([[2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]]);
    assert_finite_differences(&inputs, |[q, k, v]| {
        attention(q, k, v, Some(masked.clone()), 0.4)
    });
}

#[test]
fn a_cap_far_away_changes_nothing() {
    let device = Device::default();
    let [q, k, v] = [[2, 6, 3, 8], [2, 2, 5, 8], [2, 2, 5, 4]].map(randn);
    let masked = Tensor::<2, Bool>::tril_mask([3, 5], 2, &device).unsqueeze_dims(&[0, 1]);
    let uncapped = attention(q.clone(), k.clone(), v.clone(), Some(masked.clone()), 0.3);
    softcap_attention(q, k, v, Some(masked), 0.3, 1e3)
        .into_data()
        .assert_approx_eq::<f32>(&uncapped.into_data(), Tolerance::absolute(1e-3));
}

type SoftcapAttention =
    fn(Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4, Bool>>, f64, f64) -> Tensor<4>;

/// Causal attention, with the first `kv_heads` of the heads of keys and values.
fn causal_softcap(f: SoftcapAttention, kv_heads: usize) -> impl Fn([Tensor<4>; 3]) -> Tensor<4> {
    move |[queries, keys, values]| {
        let seq = queries.dims()[2];
        let masked = Tensor::<2, Bool>::tril_mask([seq, seq], 0, &queries.device());
        let [keys, values] = [keys, values].map(|x| x.narrow(1, 0, kv_heads));
        let masked = Some(masked.unsqueeze_dims(&[0, 1]));
        f(queries, keys, values, masked, 0.7, 1.5)
    }
}

#[test]
fn softcap_as_the_plain_composition() {
    for (shape, kv_heads) in [
        ([1, 1, 1, 4], 1),
        ([2, 4, 7, 6], 2),
        ([1, 4, 70, 8], 2),
        ([2, 2, 131, 5], 2),
    ] {
        let inputs = [(); 3].map(|()| randn(shape));
        assert_fused(
            inputs,
            causal_softcap(softcap_attention, kv_heads),
            causal_softcap(plain::softcap_attention, kv_heads),
        );
    }
}

#[test]
fn softcap_of_one_query_as_in_decoding() {
    let inputs = [[3, 4, 1, 6], [3, 2, 90, 6], [3, 2, 90, 5]].map(randn);
    let run = |f: SoftcapAttention| {
        let [queries, keys, values] = inputs.clone();
        f(queries, keys, values, None, 0.7, 1.5)
    };
    check::assert_close(run(softcap_attention), run(plain::softcap_attention));
}

#[test]
fn softcap_finite_differences() {
    let inputs = [(); 3].map(|()| randn([2, 2, 5, 6]));
    assert_finite_differences(&inputs, causal_softcap(softcap_attention, 1));
}

#[test]
fn softcap_rows_that_see_nothing_give_zero() {
    let [q, k, v] = [(); 3].map(|()| randn([1, 2, 2, 4]));
    let masked = Tensor::<4, Bool>::from_data([[[[true; 2]; 2]]], &Device::default());
    let output = softcap_attention(q, k, v, Some(masked), 0.5, 50.0);
    assert_eq!(output.abs().sum().into_scalar::<f32>(), 0.0);
}

type BiasedAttention =
    fn(Tensor<4>, Tensor<4>, Tensor<4>, Option<Tensor<4, Bool>>, f64, Tensor<4>) -> Tensor<4>;

/// Causal attention whose biases grow with the key, for each head otherwise.
fn causal_biased(f: BiasedAttention, bias: Tensor<4>) -> impl Fn([Tensor<4>; 3]) -> Tensor<4> {
    move |[queries, keys, values]| {
        let masked = causal(queries.dims()[2], keys.dims()[2], &queries.device());
        f(queries, keys, values, Some(masked), 0.7, bias.clone())
    }
}

#[test]
fn biased_as_the_plain_composition() {
    for ([batch, heads, kv_heads], [seq_q, seq_k], batches) in [
        ([1, 1, 1], [1, 1], 1),
        ([2, 4, 4], [7, 7], 2),
        ([2, 6, 2], [3, 17], 1),
        ([1, 4, 1], [70, 131], 1),
        ([2, 2, 2], [1, 90], 2),
    ] {
        let [bias] = inputs([[batches, heads, 1, seq_k]]);
        let shapes = [
            [batch, heads, seq_q, 6],
            [batch, kv_heads, seq_k, 6],
            [batch, kv_heads, seq_k, 5],
        ];
        assert_fused(
            inputs(shapes),
            causal_biased(biased_attention, bias.clone()),
            causal_biased(plain::biased_attention, bias),
        );
    }
}

#[test]
fn biased_finite_differences() {
    let [bias] = inputs([[2, 4, 1, 5]]);
    let inputs = inputs([[2, 4, 3, 8], [2, 2, 5, 8], [2, 2, 5, 8]]);
    assert_finite_differences(&inputs, causal_biased(biased_attention, bias));
}

#[test]
fn biases_of_one_head_that_are_all_alike_change_nothing() {
    let [q, k, v] = inputs([[2, 6, 3, 8], [2, 2, 5, 8], [2, 2, 5, 4]]);
    let device = Device::default();
    let masked = causal(3, 5, &device);
    let per_head = Tensor::<1>::from_floats([9.0, -3.0, 0.0, 1.0, 2.0, -7.0], &device);
    let bias = per_head.reshape([1, 6, 1, 1]).expand([1, 6, 1, 5]);
    let unbiased = attention(q.clone(), k.clone(), v.clone(), Some(masked.clone()), 0.3);
    assert_close(biased_attention(q, k, v, Some(masked), 0.3, bias), unbiased);
}

#[test]
fn a_bias_outweighs_a_score() {
    let device = Device::default();
    let queries = Tensor::<4>::from_floats([[[[1.0]]]], &device);
    let keys = Tensor::<4>::from_floats([[[[2f32.ln()], [0.0]]]], &device);
    let values = Tensor::<4>::from_floats([[[[4.0], [8.0]]]], &device);
    // Weights of 2 and 6, of eight.
    let bias = Tensor::<4>::from_floats([[[[0.0, 6f32.ln()]]]], &device);
    let output = biased_attention(queries, keys, values, None, 1.0, bias);
    assert_close(output, Tensor::from_floats([[[[7.0]]]], &device));
}
