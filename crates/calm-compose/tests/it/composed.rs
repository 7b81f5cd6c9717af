//! Properties of composed models: caches, padding, causality.

use crate::common::{
    KINDS, VOCAB, assert_close, fresh_bridges, ids, logits, logits_after, model, parts_of_kind,
    random_bridges, training_logits, values,
};
use burn::tensor::Device;
use calm_compose::{Augmenting, Bridges, ComposedModel, FrozenParts, Mode};
use calm_models::{Cache, CausalLm, DecoderConfig, PaddingMask, SequenceOptions, generate};
use proptest::prelude::*;

const TEXT: [u32; 8] = [1, 30, 12, 45, 7, 7, 41, 20];

fn greedy(max_new_tokens: usize) -> SequenceOptions {
    SequenceOptions::greedy(max_new_tokens, Vec::new())
}

fn prompts() -> Vec<Vec<u32>> {
    vec![vec![1, 30], TEXT.to_vec(), vec![44], vec![1, 2, 3, 4, 5]]
}

#[test]
fn a_fresh_composition_is_the_anchor_bit_for_bit() {
    let composed = model(fresh_bridges);
    let anchor = &composed.parts.anchor;
    let padding = PaddingMask::left(&[8, 5]);
    let batch = ids(&[&TEXT, &[9, 9, 9, 3, 4, 5, 6, 7]]);
    assert_eq!(
        values(logits(&composed, batch.clone(), &padding)),
        values(logits(anchor, batch, &padding))
    );

    let [mut ours, mut its] = [composed.new_cache(1), composed.new_cache(1)];
    let mut alone = anchor.new_cache(1);
    for id in TEXT {
        let found = logits_after(&composed, &[&[id]], &mut ours);
        let expected = logits_after(anchor, &[&[id]], &mut alone);
        assert_eq!(values(found), values(expected));
    }
    assert_eq!(
        generate(&composed, &prompts(), &greedy(40)).unwrap(),
        generate(anchor, &prompts(), &greedy(40)).unwrap()
    );
    // The test can fail: with W_O, all of this is different.
    let trained = model(random_bridges);
    assert_ne!(
        values(logits_after(&trained, &[&TEXT], &mut its)),
        values(logits(anchor, ids(&[&TEXT]), &PaddingMask::none(1, 8)))
    );
}

#[test]
fn models_of_every_kind_compose() {
    let device = Device::default();
    for name in KINDS {
        let composed = |bridges: fn(&FrozenParts, &Device) -> Bridges| {
            let parts = parts_of_kind(name);
            let bridges = bridges(&parts, &device);
            ComposedModel { parts, bridges }
        };
        let (fresh, trained) = (composed(fresh_bridges), composed(random_bridges));
        let padding = PaddingMask::left(&[8, 5]);
        let batch = ids(&[&TEXT, &[0, 0, 0, 3, 4, 5, 6, 7]]);
        let found = |model: &ComposedModel| values(logits(model, batch.clone(), &padding));
        let of_anchor = values(logits(&fresh.parts.anchor, batch.clone(), &padding));
        assert_eq!(found(&fresh), of_anchor, "{name}");
        assert_ne!(found(&trained), of_anchor, "{name}");
        for (prompt, continued) in prompts()
            .iter()
            .zip(generate(&trained, &prompts(), &greedy(9)).unwrap())
        {
            assert_eq!(continued.ids, recomputed(&trained, prompt, 9), "{name}");
        }
    }
}

/// Greedy decoding without a cache, one prompt at a time.
fn recomputed(model: &impl CausalLm, prompt: &[u32], max_new_tokens: usize) -> Vec<u32> {
    let mut text = prompt.to_vec();
    for _ in 0..max_new_tokens {
        let padding = PaddingMask::none(1, text.len());
        let all = logits(model, ids(&[&text]), &padding);
        let last = values(all.narrow(1, text.len() - 1, 1));
        let likeliest = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b]));
        text.extend(likeliest.map(|id| id as u32));
    }
    text.split_off(prompt.len())
}

#[test]
fn cached_decoding_of_a_batch_gives_the_tokens_of_recomputation() {
    let model = model(random_bridges);
    // Storage grows by 32 positions: 40 new tokens need it to grow.
    let cached = generate(&model, &prompts(), &greedy(40)).unwrap();
    for (continuation, prompt) in cached.iter().zip(prompts()) {
        assert_eq!(continuation.ids, recomputed(&model, &prompt, 40));
    }
    // A model that says one thing whatever it reads would pass, too.
    assert_ne!(cached[0].ids, cached[1].ids);
    assert!(cached[0].ids.iter().any(|id| *id != cached[0].ids[0]));
}

#[test]
fn cached_logits_of_a_left_padded_batch_are_those_of_a_whole_pass() {
    let model = model(random_bridges);
    let lengths = [8, 3];
    let rows: [&[u32]; 2] = [&TEXT, &[0, 0, 0, 0, 0, 9, 10, 11]];
    let steps: [[u32; 2]; 5] = [[5, 6], [21, 13], [40, 2], [3, 3], [17, 46]];

    let mut cache = model.new_cache(2);
    let padding = PaddingMask::left(&lengths);
    let first = model.hidden_states(ids(&rows), &padding, Some(&mut cache));
    first.unwrap();
    let mut texts = rows.map(<[u32]>::to_vec);
    for (done, step) in steps.iter().enumerate() {
        let cached = logits_after(&model, &[&step[..1], &step[1..]], &mut cache);
        texts[0].push(step[0]);
        texts[1].push(step[1]);
        let padding = PaddingMask::left(&lengths.map(|length| length + done + 1));
        let whole = logits(&model, ids(&[&texts[0], &texts[1]]), &padding);
        assert_close(cached, whole.narrow(1, 8 + done, 1));
    }
}

#[test]
fn chunks_equal_all_at_once() {
    let model = model(random_bridges);
    let whole = logits(&model, ids(&[&TEXT]), &PaddingMask::none(1, 8));
    let mut cache = model.new_cache(1);
    for (start, chunk) in [(0, &TEXT[..3]), (3, &TEXT[3..4]), (4, &TEXT[4..])] {
        let found = logits_after(&model, &[chunk], &mut cache);
        assert_close(found, whole.clone().narrow(1, start, chunk.len()));
    }
}

#[test]
fn padding_on_either_side_moves_no_real_position() {
    let model = model(random_bridges);
    let alone = logits(&model, ids(&[&[30, 12, 45]]), &PaddingMask::none(1, 3));
    for filler in [0, 9] {
        let left = ids(&[&[filler, filler, 30, 12, 45], &[3, 4, 5, 6, 7]]);
        let left = logits(&model, left, &PaddingMask::left(&[3, 5]));
        assert_close(left.slice([0..1, 2..5]), alone.clone());
        let right = ids(&[&[30, 12, 45, filler, filler], &[3, 4, 5, 6, 7]]);
        let right = logits(&model, right, &PaddingMask::right(&[3, 5]));
        assert_close(right.slice([0..1, 0..3]), alone.clone());
    }
}

#[test]
fn truncating_rolls_every_cache_back() {
    let model = model(random_bridges);
    let mut straight = model.new_cache(1);
    logits_after(&model, &[&TEXT[..4]], &mut straight);
    let mut detour = straight.clone();
    logits_after(&model, &[&[33, 34, 35]], &mut detour);
    detour.truncate(4);
    assert_eq!(detour.len(), 4);
    assert_eq!(
        values(logits_after(&model, &[&TEXT[4..]], &mut detour)),
        values(logits_after(&model, &[&TEXT[4..]], &mut straight))
    );
    detour.truncate(0);
    assert!(detour.is_empty());
    let again = logits_after(&model, &[&TEXT], &mut detour);
    assert_close(
        again,
        logits(&model, ids(&[&TEXT]), &PaddingMask::none(1, 8)),
    );
}

#[test]
fn rows_can_leave_change_places_and_be_doubled() {
    let model = model(random_bridges);
    let mut cache = model.new_cache(3);
    let rows: [&[u32]; 3] = [&[5; 7], &TEXT[..7], &[6; 7]];
    logits_after(&model, &rows, &mut cache);
    let bytes = cache.bytes();
    cache.select_rows(&[1, 0, 1, 1]);
    assert_eq!(cache.bytes(), bytes / 3 * 4);
    let next = logits_after(&model, &[&[20], &[20], &[20], &[9]], &mut cache);
    let whole =
        |text: &[u32]| logits(&model, ids(&[text]), &PaddingMask::none(1, 8)).narrow(1, 7, 1);
    let row = |row| next.clone().narrow(0, row, 1);
    assert_close(row(0), whole(&TEXT));
    assert_close(row(1), whole(&[5, 5, 5, 5, 5, 5, 5, 20]));
    assert_close(row(2), whole(&TEXT));
    let mut other = TEXT;
    other[7] = 9;
    assert_close(row(3), whole(&other));
}

#[test]
fn the_cache_is_bounded_by_the_length_of_the_text() {
    let model = model(random_bridges);
    let mut cache = model.new_cache(2);
    // Per position and row: keys and values of 3 anchor blocks (2 heads of 4), of 4 and 1
    // augmenting blocks (1 head of 10; 2 of 4), and of 3 bridges (width 16).
    let floats = 2 * (3 * 2 * 4 + 4 * 10 + 2 * 4 + 3 * 16);
    for position in 0..70usize {
        let id = [(position % 45) as u32];
        logits_after(&model, &[&id, &id], &mut cache);
        let stored = (position + 1).next_multiple_of(32);
        assert_eq!(cache.bytes(), 2 * stored * floats * size_of::<f32>());
    }
    // Going back and forth over the same positions takes nothing more.
    let bytes = cache.bytes();
    for _ in 0..20 {
        cache.truncate(66);
        logits_after(&model, &[&[3, 4], &[5, 6]], &mut cache);
        assert_eq!(cache.bytes(), bytes);
    }
}

#[test]
fn windows_bound_the_caches_of_both_models() {
    let narrow = |d_model, heads, blocks, seed| {
        let mut config = DecoderConfig::llama(VOCAB as usize, d_model, blocks, heads);
        // Of all blocks of the one model, and of some of the other.
        let windowed = config.blocks.iter_mut().take(3);
        windowed.for_each(|block| block.attention.window = Some(5));
        calm_testing::decoder(&config, seed)
    };
    let connections = vec![[2, 1].into(), [4, 3].into()];
    let parts = FrozenParts {
        anchor: narrow(16, 4, 3, 1),
        augmenting: vec![Augmenting::new(narrow(24, 3, 4, 2), connections)],
    };
    for mode in [Mode::Iterative, Mode::Encoder] {
        let parts = parts.clone().in_mode(mode);
        let bridges = random_bridges(&parts, &Device::default());
        let model = ComposedModel { parts, bridges };
        let text: Vec<u32> = (0..180).map(|place| 1 + place * place % 45).collect();
        let prompt = 20;
        let expected = training_logits(&model, &[&text], &[prompt]);
        let mut cache = model.new_cache(1);
        logits_after(&model, &[&text[..prompt]], &mut cache);
        for (place, id) in text.iter().enumerate().skip(prompt) {
            // Now and then, some are read twice.
            if place % 31 == 0 {
                let other = vec![9; 12];
                logits_after(&model, &[&other], &mut cache);
                cache.truncate(place);
            }
            let found = logits_after(&model, &[&[*id]], &mut cache);
            assert_close(found, expected.clone().narrow(1, place, 1));
            let bytes = cache.bytes_by_part();
            // At most twice the window and 64 positions of each windowed block, 32 at a time.
            let most = 96 * 2 * size_of::<f32>();
            assert!(bytes.anchor <= 3 * 16 * most, "{bytes:?} at {place}");
            let kept = (place + 13).next_multiple_of(32) * 2 * size_of::<f32>();
            assert!(bytes.augmenting[0] <= 24 * (3 * most + kept), "{bytes:?}");
        }
    }
}

#[test]
fn passes_without_gradients_are_not_recorded() {
    let parts = crate::common::parts();
    let bridges = random_bridges(&parts, &Device::default());
    let padding = PaddingMask::none(1, 8);
    let plain = parts
        .hidden_states(&bridges, ids(&[&TEXT]), &padding, None)
        .unwrap();
    assert!(!plain.device().is_autodiff());
    let tracked = random_bridges(&parts, &Device::default().autodiff());
    let hidden = parts
        .hidden_states(&tracked, ids(&[&TEXT]), &padding, None)
        .unwrap();
    assert!(hidden.device().is_autodiff());
    assert_close(hidden.inner(), plain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_later_token_never_moves_an_earlier_logit(
        text in prop::collection::vec(3..VOCAB, 2..20),
        at in any::<prop::sample::Index>(),
        other in 3..VOCAB,
    ) {
        let model = model(random_bridges);
        let at = at.index(text.len());
        prop_assume!(text[at] != other);
        let mut changed = text.clone();
        changed[at..].fill(other);
        let padding = PaddingMask::none(1, text.len());
        let [a, b] = [&text, &changed].map(|text| logits(&model, ids(&[text]), &padding));
        if at > 0 {
            let earlier = |x: &burn::tensor::Tensor<3>| values(x.clone().narrow(1, 0, at));
            prop_assert_eq!(earlier(&a), earlier(&b));
        }
        let here = |x: burn::tensor::Tensor<3>| values(x.narrow(1, at, 1));
        prop_assert_ne!(here(a), here(b));
    }
}

#[test]
fn copies_of_a_beginning_go_on_as_if_computed_anew() {
    let composed = model(random_bridges);
    let mut cache = composed.new_cache(1);
    logits_after(&composed, &[&TEXT], &mut cache);
    let mut copies = cache.clone();
    copies.select_rows(&[0, 0]);
    let found = logits_after(&composed, &[&[9, 3], &[5, 11]], &mut copies);
    for (row, rest) in [[9, 3], [5, 11]].into_iter().enumerate() {
        let whole = [&TEXT[..], &rest].concat();
        let whole = logits(&composed, ids(&[&whole]), &PaddingMask::none(1, 10));
        assert_close(found.clone().narrow(0, row, 1), whole.narrow(1, 8, 2));
    }
}
