//! Attention of bridges.

use crate::common::two_streams::{composed, seen_by_definition};
use crate::common::{bridges_with, ids, model, options, parts, random_bridges, shaken, values};
use burn::tensor::{Device, Tensor};
use calm_compose::{Bridge, ComposedModel, ModelTrace};
use calm_models::{Context, PaddingMask};

const TEXT: [u32; 9] = [1, 8, 3, 5, 2, 9, 6, 7, 7];

/// The weights of one head over the keys that a query sees, by the formula.
fn softmax(query: &[f32], keys: &[&[f32]]) -> Vec<f32> {
    let scale = (query.len() as f32).sqrt().recip();
    let dot = |key: &&[f32]| key.iter().zip(query).map(|(k, q)| k * q).sum::<f32>() * scale;
    let scores: Vec<f32> = keys.iter().map(dot).collect();
    let sum: f32 = scores.iter().map(|score| score.exp()).sum();
    scores.iter().map(|score| score.exp() / sum).collect()
}

/// `x W + b`, split into heads: `[position][head]`, each of `d_head` numbers.
fn heads(linear: &burn::nn::Linear, x: Tensor<3>, heads: usize) -> Vec<Vec<Vec<f32>>> {
    let mapped = linear.forward(x);
    let [_, seq, d_inner] = mapped.dims();
    let mapped = values(mapped);
    let position = |position: usize| {
        let row = &mapped[position * d_inner..(position + 1) * d_inner];
        row.chunks(d_inner / heads).map(<[f32]>::to_vec).collect()
    };
    (0..seq).map(position).collect()
}

/// The first bridge's inputs, which no other bridge has changed.
fn inputs(model: &ComposedModel, text: &[u32], own: &[u32]) -> [Tensor<3>; 2] {
    let augmenting = &model.parts.augmenting[0];
    let connection = augmenting.connections[0];
    let states = |decoder: &calm_models::Decoder, text: &[u32], block| {
        let context = Context::new(decoder, &PaddingMask::none(1, text.len()), None);
        let hidden = decoder.embed(ids(&[text]), &context);
        decoder.run(0..block, hidden, &context, None)
    };
    [
        states(&model.parts.anchor, text, connection.anchor_block),
        states(&augmenting.decoder, own, connection.augmenting_block),
    ]
}

fn assert_sums(trace: &ModelTrace) {
    for bridge in &trace.bridges {
        for head in &bridge.heads {
            assert_eq!(head.len(), trace.sees.len());
            for (weights, sees) in head.iter().zip(&trace.sees) {
                assert_eq!(weights.len(), sees.len());
                let sum: f32 = weights.iter().sum();
                assert!(sees.is_empty() || (sum - 1.0).abs() < 1e-5, "{sum}");
            }
        }
    }
}

#[test]
fn weights_are_the_softmax_of_what_is_seen() {
    let model = model(random_bridges);
    let traced = model.trace(&TEXT).unwrap();
    assert_eq!(traced.models.len(), 2);
    let trace = &traced.models[0];
    assert_eq!((&trace.tokens[..], trace.bridges.len()), (&TEXT[..], 2));
    assert_sums(trace);
    let bridge: &Bridge = &model.bridges.of[0][0];
    let count = bridge.config().heads;
    let [anchor, augmenting] = inputs(&model, &TEXT, &TEXT);
    let queries = heads(&bridge.query, anchor, count);
    let keys = heads(&bridge.key, bridge.projection.forward(augmenting), count);
    for head in 0..count {
        for (position, query) in queries.iter().enumerate() {
            let seen: Vec<usize> = (0..=position).collect();
            assert_eq!(trace.sees[position], seen);
            let keys: Vec<&[f32]> = seen.iter().map(|key| &keys[*key][head][..]).collect();
            let expected = softmax(&query[head], &keys);
            let found = &trace.bridges[0].heads[head][position];
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
    // A head that looks at everything alike would prove little.
    let last = &trace.bridges[0].heads[0][8];
    assert!(last.iter().any(|weight| (weight - last[0]).abs() > 1e-2));
}

#[test]
fn own_tokens_are_those_of_the_text_so_far() {
    for (anchor, augmenting) in [("byte-level", "byte-fallback"), ("words", "byte-level")] {
        let model = composed(anchor, augmenting);
        let trace = &model.trace(&TEXT).unwrap().models[0];
        assert_sums(trace);
        let bridge = &model.bridges.of[0][0];
        let count = bridge.config().heads;
        for (position, sees) in trace.sees.iter().enumerate() {
            let seen: Vec<u32> = sees.iter().map(|key| trace.tokens[*key]).collect();
            assert_eq!(seen, seen_by_definition(&model, &TEXT[..=position]));
            if seen.is_empty() {
                assert!(trace.bridges[0].heads[0][position].is_empty());
                continue;
            }
            let [anchor, augmenting] = inputs(&model, &TEXT, &seen);
            let query = &heads(&bridge.query, anchor, count)[position];
            let keys = heads(&bridge.key, bridge.projection.forward(augmenting), count);
            for (head, query) in query.iter().enumerate() {
                let keys: Vec<&[f32]> = keys.iter().map(|key| &key[head][..]).collect();
                let found = &trace.bridges[0].heads[head][position];
                for (found, expected) in found.iter().zip(softmax(query, &keys)) {
                    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
                }
            }
        }
    }
}

#[test]
fn later_text_moves_no_weight() {
    let same = model(random_bridges);
    for model in [&same, &composed("byte-level", "byte-fallback")] {
        let whole = model.trace(&TEXT).unwrap();
        for end in 1..TEXT.len() {
            let beginning = model.trace(&TEXT[..end]).unwrap();
            for (whole, beginning) in whole.models.iter().zip(&beginning.models) {
                let tokens = |trace: &ModelTrace| -> Vec<Vec<u32>> {
                    let positions = trace.sees[..end].iter();
                    positions
                        .map(|sees| sees.iter().map(|key| trace.tokens[*key]).collect())
                        .collect()
                };
                assert_eq!(tokens(whole), tokens(beginning));
                for (whole, beginning) in whole.bridges.iter().zip(&beginning.bridges) {
                    for (whole, beginning) in whole.heads.iter().zip(&beginning.heads) {
                        for (a, b) in whole.iter().flatten().zip(beginning.iter().flatten()) {
                            assert!((a - b).abs() < 1e-5, "{a} {b}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_option_is_followed_and_switched_off_models_are_not() {
    for (name, options) in options() {
        let parts = parts();
        let bridges = shaken(bridges_with(&parts, options, &Device::default()));
        let mut model = ComposedModel { parts, bridges };
        let trace = model.trace(&TEXT).unwrap();
        trace.models.iter().for_each(assert_sums);
        let bridges = trace.models.iter().map(|model| model.bridges.len());
        assert_eq!(bridges.collect::<Vec<_>>(), [2, 1], "{name}");
        model.parts.augmenting[0].scale = 0.0;
        let trace = model.trace(&TEXT).unwrap();
        let bridges = trace.models.iter().map(|model| model.bridges.len());
        assert_eq!(bridges.collect::<Vec<_>>(), [0, 1], "{name}");
    }
}

#[test]
fn texts_that_cannot_be_read_are_errors() {
    let model = model(random_bridges);
    assert!(
        model
            .trace(&[])
            .unwrap_err()
            .to_string()
            .contains("no tokens")
    );
    assert!(
        model
            .trace(&[1 << 20])
            .unwrap_err()
            .to_string()
            .contains("outside the vocabulary")
    );
    assert!(
        model
            .trace(&vec![1; 1 << 16])
            .unwrap_err()
            .to_string()
            .contains("context")
    );
}
