//! The controls of section 4.4: an augmenting model that reads the prompt only, and one that knows
//! nothing.

use crate::common::two_streams::{
    anchor_model, augmenting_model, composed, join, logits_seeing, tokenizer,
};
use crate::common::{
    assert_close, fresh_bridges, ids, load, logits, logits_after, parts, random_bridges,
    training_logits, values,
};
use burn::tensor::{Device, Tensor};
use calm_compose::{Bridges, ComposedModel, FrozenParts, Mode};
use calm_models::{Cache, CausalLm, PaddingMask, SequenceOptions, SharedPrefix, generate};

type Start = fn(&FrozenParts, &Device) -> Bridges;

fn encoder(parts: FrozenParts, bridges: Start) -> ComposedModel {
    let parts = parts.in_mode(Mode::Encoder);
    let bridges = bridges(&parts, &Device::default());
    ComposedModel { parts, bridges }
}

/// Models that read the same ids, and two pairs that do not.
fn all_parts() -> Vec<FrozenParts> {
    let mut all = vec![parts()];
    for (anchor, augmenting) in [("byte-level", "byte-fallback"), ("words", "byte-level")] {
        let [anchor, augmenting] = [anchor, augmenting].map(tokenizer);
        all.push(join(&anchor_model(anchor), &augmenting_model(augmenting)));
    }
    all
}

/// Prompts of different lengths, some of whose tokens are no whole characters to any tokenizer, and
/// what follows them.
const PROMPTS: [&[u32]; 3] = [&[1, 8, 3, 5, 2, 9], &[7, 4], &[6, 6, 1, 3]];
const ANSWERS: [&[u32]; 3] = [&[4, 2, 8, 1, 1], &[3, 9, 9, 2, 5], &[1, 2, 3, 4, 5]];

fn alone(model: &ComposedModel, text: &[u32], prompt: usize) -> Tensor<3> {
    training_logits(model, &[text], &[prompt])
}

fn rows() -> Vec<Vec<u32>> {
    PROMPTS
        .iter()
        .zip(ANSWERS)
        .map(|(prompt, answer)| [prompt, answer].concat())
        .collect()
}

#[test]
fn a_fresh_composition_is_the_anchor_bit_for_bit() {
    for parts in all_parts() {
        let composed = encoder(parts, fresh_bridges);
        let anchor = &composed.parts.anchor;
        for (text, prompt) in rows().iter().zip(PROMPTS) {
            let padding = PaddingMask::none(1, text.len());
            let expected = logits(anchor, ids(&[text]), &padding);
            let found = logits(&composed, ids(&[text]), &padding);
            assert_eq!(values(found), values(expected));
            let [mut ours, mut its] = [composed.new_cache(1), composed.new_cache(1)];
            let mut cache = anchor.new_cache(1);
            let steps = std::iter::once(prompt).chain(text[prompt.len()..].chunks(1));
            for step in steps {
                let found = logits_after(&composed, &[step], &mut ours);
                assert_eq!(
                    values(found),
                    values(logits_after(anchor, &[step], &mut cache))
                );
            }
            // The test can fail.
            let trained = ComposedModel {
                bridges: random_bridges(&composed.parts, &Device::default()),
                ..composed.clone()
            };
            let other = logits_after(&trained, &[prompt], &mut its);
            assert_ne!(
                values(other),
                values(logits(
                    anchor,
                    ids(&[prompt]),
                    &PaddingMask::none(1, prompt.len())
                ))
            );
        }
        let prompts = PROMPTS.map(<[u32]>::to_vec);
        let options = SequenceOptions::greedy(20, Vec::new());
        assert_eq!(
            generate(&composed, &prompts, &options).unwrap(),
            generate(anchor, &prompts, &options).unwrap()
        );
    }
}

#[test]
fn untrained_and_switched_off_models_leave_the_anchor_as_it_is() {
    let (anchor, specialist) = (load("llama"), load("llama3-scaled-tied"));
    let text: &[u32] = &[1, 30, 12, 45, 7, 7, 41, 20];
    let padding = PaddingMask::none(1, text.len());
    let expected = values(logits(&anchor.decoder, ids(&[text]), &padding));
    let found = |augmenting, bridges: Start, scale| {
        let parts = FrozenParts::join(&anchor, [(augmenting, vec![[2, 1].into(), [4, 2].into()])]);
        let mut parts = parts.unwrap();
        parts.augmenting[0].scale = scale;
        let bridges = bridges(&parts, &Device::default());
        let model = ComposedModel { parts, bridges };
        let mut cache = model.new_cache(1);
        let whole = values(logits(&model, ids(&[text]), &padding));
        let steps = text
            .iter()
            .map(|id| logits_after(&model, &[&[*id]], &mut cache));
        (whole, Tensor::cat(steps.collect(), 1))
    };
    let twin = specialist.random_init_like(7);
    let (whole, steps) = found(&twin, fresh_bridges, 1.0);
    assert_eq!(whole, expected);
    let mut cache = anchor.decoder.new_cache(1);
    let alone = text
        .iter()
        .map(|id| logits_after(&anchor.decoder, &[&[*id]], &mut cache));
    let alone = Tensor::cat(alone.collect(), 1);
    assert_eq!(values(steps), values(alone.clone()));
    let (whole, steps) = found(&specialist, random_bridges, 0.0);
    assert_eq!(whole, expected);
    assert_eq!(values(steps), values(alone));
    // Bridges read something else of a model that knows nothing.
    let (of_twin, _) = found(&twin, random_bridges, 1.0);
    let (of_specialist, _) = found(&specialist, random_bridges, 1.0);
    assert_ne!(of_twin, of_specialist);
    // The seed is all that there is to know of it.
    let again = found(&specialist.random_init_like(7), random_bridges, 1.0).0;
    assert_eq!(again, of_twin);
    assert_eq!(
        specialist.random_init_like(7).weights_sha256().unwrap(),
        twin.random_init_like(7).weights_sha256().unwrap()
    );
    assert_ne!(
        twin.weights_sha256().unwrap(),
        specialist.weights_sha256().unwrap()
    );
}

#[test]
fn the_anchor_reads_prompts_up_to_where_it_is() {
    for (anchor, augmenting) in [("byte-level", "byte-fallback"), ("words", "byte-level")] {
        let mut model = composed(anchor, augmenting);
        model.parts = model.parts.in_mode(Mode::Encoder);
        for (text, prompt) in rows().iter().zip(PROMPTS) {
            let expected = logits_seeing(&model, text, |position| {
                crate::common::two_streams::seen_by_definition(
                    &model,
                    &text[..prompt.len().min(position + 1)],
                )
            });
            assert_close(alone(&model, text, prompt.len()), expected);
        }
    }
    // Of models that read the same ids, the same with one of them.
    let mut parts = parts();
    parts.augmenting.truncate(1);
    let model = encoder(parts, random_bridges);
    for (text, prompt) in rows().iter().zip(PROMPTS) {
        let seen = |position: usize| text[..prompt.len().min(position + 1)].to_vec();
        let expected = logits_seeing(&model, text, seen);
        assert_close(alone(&model, text, prompt.len()), expected);
    }
}

#[test]
fn cached_decoding_gives_the_logits_of_recomputation() {
    for parts in all_parts() {
        let model = encoder(parts, random_bridges);
        let lengths = PROMPTS.map(<[u32]>::len);
        let padding = PaddingMask::left(&lengths);
        let filled =
            PROMPTS.map(|prompt| [&vec![0; padding.seq() - prompt.len()], prompt].concat());
        let mut cache = model.new_cache(3);
        let rows: Vec<&[u32]> = filled.iter().map(Vec::as_slice).collect();
        model
            .hidden_states(ids(&rows), &padding, Some(&mut cache))
            .unwrap();
        let held = cache.bytes_by_part();
        let mut texts = PROMPTS.map(<[u32]>::to_vec);
        for step in 0..5 {
            let next = ANSWERS.map(|answer| [answer[step]]);
            let found = logits_after(&model, &next.each_ref().map(|id| &id[..]), &mut cache);
            for (row, text) in texts.iter_mut().enumerate() {
                text.push(next[row][0]);
                let expected = alone(&model, text, lengths[row]).narrow(1, text.len() - 1, 1);
                assert_close(found.clone().narrow(0, row, 1), expected);
            }
        }
        // The augmenting models stand still.
        let after = cache.bytes_by_part();
        assert_eq!(
            (&after.augmenting, &after.bridges),
            (&held.augmenting, &held.bridges)
        );

        // Rows leave and are doubled, the last tokens are taken back, and all go on.
        cache.select_rows(&[2, 0, 2]);
        cache.truncate(padding.seq() + 2);
        let found = logits_after(&model, &[&[9], &[8], &[7]], &mut cache);
        for (row, (from, next)) in [(2, 9), (0, 8), (2, 7)].into_iter().enumerate() {
            let text = [PROMPTS[from], &ANSWERS[from][..2], &[next]].concat();
            let expected = alone(&model, &text, lengths[from]).narrow(1, text.len() - 1, 1);
            assert_close(found.clone().narrow(0, row, 1), expected);
        }
        // Prompts stay prompts where a cache is emptied and filled anew.
        cache.truncate(0);
        let text = [PROMPTS[2], ANSWERS[2]].concat();
        let other = [PROMPTS[0], &ANSWERS[0][..3]].concat();
        let found = logits_after(&model, &[&text, &other, &text], &mut cache);
        assert_close(found.clone().narrow(0, 2, 1), alone(&model, &text, 4));
        assert_close(found.narrow(0, 1, 1), alone(&model, &other, 6));
    }
}

#[test]
fn padding_moves_nothing() {
    for parts in all_parts() {
        let model = encoder(parts, random_bridges);
        let (rows, prompts) = (rows(), PROMPTS.map(<[u32]>::len));
        let texts: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let batch = training_logits(&model, &texts, &prompts);
        for (row, text) in rows.iter().enumerate() {
            let found = batch.clone().slice([row..row + 1, 0..text.len()]);
            assert_close(found, alone(&model, text, prompts[row]));
        }
    }
}

#[test]
fn an_encoder_reads_less_than_an_iterative_model() {
    for parts in all_parts() {
        let encoder = encoder(parts, random_bridges);
        let mut iterative = encoder.clone();
        iterative.parts = iterative.parts.in_mode(Mode::Iterative);
        let text = &rows()[0];
        let prompt = PROMPTS[0].len();
        let [one, other] = [&encoder, &iterative].map(|model| alone(model, text, prompt));
        let part = |x: &Tensor<3>, from, count| values(x.clone().narrow(1, from, count));
        crate::common::assert_close(
            one.clone().narrow(1, 0, prompt),
            other.clone().narrow(1, 0, prompt),
        );
        assert_ne!(part(&one, prompt, 5), part(&other, prompt, 5));
    }
}

/// The part of the prompts behind a shared beginning would be taken for text to continue.
#[test]
fn an_encoder_shares_no_beginning_of_prompts() {
    let prompts = [vec![1, 8, 3], vec![1, 8, 5, 2]];
    for parts in all_parts() {
        let model = encoder(parts, random_bridges);
        assert!(SharedPrefix::of(&model, &prompts).unwrap().is_none());
    }
}
