//! Tokens as text: offsets, streams, stop texts, and logits processed as transformers does.

use std::fs;
use std::ops::ControlFlow;

use crate::common::{FIXTURES, fixture, ids, load, values};
use calm_models::{
    Continuation, Decoder, ModelError, PaddingMask, SamplingParams, SequenceOptions, SharedPrefix,
    TextStream, Tokenizer, generate, generate_text, generate_text_after, token_text,
};
use proptest::prelude::*;
use serde_json::Value;

const TOKENIZERS: [&str; 2] = ["byte-level", "byte-fallback"];

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::load(&fixture("text").join(format!("{name}.json"))).unwrap()
}

fn golden(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(fixture("text").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn texts_are_encoded_as_transformers_does() {
    for name in TOKENIZERS {
        let tokenizer = tokenizer(name);
        for case in golden(&format!("{name}.encodings.json")) {
            let text = case["text"].as_str().unwrap();
            let encoded = tokenizer.encode(text, true).unwrap();
            let offsets: Vec<(usize, usize)> =
                serde_json::from_value(case["offsets"].clone()).unwrap();
            assert_eq!(encoded.ids, numbers(&case["ids"]), "{name}: {text:?}");
            assert_eq!(encoded.offsets, offsets, "{name}: {text:?}");
            assert_eq!(
                tokenizer.decode(&encoded.ids, true).unwrap(),
                case["decoded"]
            );
        }
    }
}

/// The pieces that a stream gives, and what they add up to.
fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> (Vec<String>, String) {
    let mut stream = TextStream::new(tokenizer);
    let mut pieces: Vec<String> = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
    pieces.push(stream.finish().unwrap());
    let text = pieces.concat();
    (pieces, text)
}

#[test]
fn a_token_has_the_text_that_it_has_amid_others() {
    let shown = |name: &str| {
        let tokenizer = tokenizer(name);
        let ids = tokenizer.encode("the naïve two 👩", true).unwrap().ids;
        let texts = ids.iter().map(|id| token_text(&tokenizer, *id));
        texts.collect::<Vec<_>>()
    };
    // By itself a token of the first kind loses the space that it begins with.
    assert_eq!(
        shown("byte-fallback"),
        [
            "<s>", " the", " ", "n", "a", "<0xC3>", "<0xAF>", "v", "e", " t", "w", "o", " ",
            "<0xF0>", "<0x9F>", "<0x91>", "<0xA9>"
        ]
    );
    assert_eq!(
        shown("byte-level"),
        [
            "<s>", "the", " ", "naÃ", "¯ve", " t", "wo", " ", "ðŁ", "ĳ", "©"
        ]
    );
}

#[test]
fn a_stream_adds_up_to_the_text() {
    for name in TOKENIZERS {
        let tokenizer = tokenizer(name);
        for case in golden(&format!("{name}.encodings.json")) {
            let (pieces, text) = streamed(&tokenizer, &numbers(&case["ids"]));
            assert_eq!(text, case["decoded"], "{name}");
            let is_whole = |piece: &String| !piece.contains(char::REPLACEMENT_CHARACTER);
            assert!(pieces.iter().all(is_whole), "{name}: {pieces:?}");
        }
    }
}

#[test]
fn characters_come_whole_and_as_soon_as_they_are() {
    for name in TOKENIZERS {
        let tokenizer = tokenizer(name);
        // Of four bytes each, in tokens of one; the joiner between them has three.
        let encoded = tokenizer.encode("👩‍🚀", false).unwrap();
        let (pieces, _) = streamed(&tokenizer, &encoded.ids);
        let shown: Vec<&str> = pieces
            .iter()
            .map(|p| p.trim())
            .filter(|p| !p.is_empty())
            .collect();
        assert_eq!(shown, ["👩", "\u{200d}", "🚀"], "{name}: {pieces:?}");
        assert_eq!(
            pieces.last().unwrap(),
            "",
            "nothing was held back to the end"
        );

        // A letter and a mark that combines with it are two characters.
        let encoded = tokenizer.encode("e\u{301}\u{928}\u{93f}", false).unwrap();
        let (pieces, _) = streamed(&tokenizer, &encoded.ids);
        let shown: Vec<&str> = pieces
            .iter()
            .map(|p| p.trim())
            .filter(|p| !p.is_empty())
            .collect();
        assert_eq!(
            shown,
            ["e", "\u{301}", "\u{928}", "\u{93f}"],
            "{name}: {pieces:?}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_held_back_for_a_while_only() {
    for (name, piece) in [("byte-level", "ð"), ("byte-fallback", "<0xF0>")] {
        let tokenizer = tokenizer(name);
        let byte = tokenizer.token_id(piece).unwrap();
        let letter = tokenizer.encode("o", false).unwrap().ids;
        let (pieces, text) = streamed(&tokenizer, &[vec![byte; 300], letter].concat());
        let waits = pieces.iter().take_while(|piece| piece.is_empty()).count();
        assert!(waits < 70, "{name}: the first text after {waits} tokens");
        assert!(text.ends_with('o'), "{name}");
        let (_, cut) = streamed(&tokenizer, &[byte]);
        assert_eq!(
            cut, "\u{fffd}",
            "{name}: what is cut off is told at the end"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_streamed_whole_and_offsets_lie_between_characters(text in "\\PC{0,12}") {
        for name in TOKENIZERS {
            let tokenizer = tokenizer(name);
            let encoded = tokenizer.encode(&text, true).unwrap();
            let (_, found) = streamed(&tokenizer, &encoded.ids);
            prop_assert_eq!(found, tokenizer.decode(&encoded.ids, true).unwrap());
            let mut end = 0;
            for (from, to) in encoded.offsets.into_iter().skip(1) {
                prop_assert!(text.get(from..to).is_some() && from <= end && to >= end, "{}", name);
                end = to;
            }
            prop_assert!(end == text.len() || encoded.ids.len() == 1, "{name}: {end} of {text:?}");
        }
    }

    #[test]
    fn any_tokens_are_streamed(ids in prop::collection::vec(0_u32..270, 0..40)) {
        for name in TOKENIZERS {
            streamed(&tokenizer(name), &ids);
        }
    }
}

fn settings(case: &Value) -> SamplingParams {
    let get = |key: &str| case["settings"][key].as_f64().map(|value| value as f32);
    SamplingParams {
        temperature: get("temperature"),
        top_k: case["settings"]["top_k"].as_u64().map(|k| k as usize),
        top_p: get("top_p"),
        min_p: get("min_p"),
        repetition_penalty: get("repetition_penalty"),
        seed: 0,
    }
}

#[test]
fn logits_are_processed_as_transformers_does() {
    let cases = golden("sampling.json");
    for case in &cases {
        let mut logits: Vec<f32> = serde_json::from_value(case["logits"].clone()).unwrap();
        settings(case).process(&mut logits, &numbers(&case["seen"]));
        let expected: Vec<Option<f32>> = serde_json::from_value(case["expected"].clone()).unwrap();
        let expected = expected
            .iter()
            .map(|logit| logit.unwrap_or(f32::NEG_INFINITY));
        for (found, expected) in logits.into_iter().zip(expected) {
            let is_same = found == expected || (found - expected).abs() <= 1e-6 * expected.abs();
            assert!(is_same, "{found}, not {expected}: {}", case["settings"]);
        }
    }
    assert_eq!(cases.len(), 36);
}

const PROMPTS: [&[u32]; 4] = [
    &[1, 30],
    &[1, 30, 12, 55, 7, 7, 41, 20],
    &[77],
    &[1, 2, 3, 4, 5],
];

fn continued(
    decoder: &Decoder,
    prompts: &[&[u32]],
    sampling: &SamplingParams,
) -> Vec<Continuation> {
    let prompts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
    let options = SequenceOptions {
        sampling: sampling.clone(),
        ..SequenceOptions::greedy(12, vec![5, 17])
    };
    generate(decoder, &prompts, &options).unwrap()
}

#[test]
fn the_likeliest_of_one_is_the_likeliest() {
    let one = SamplingParams {
        top_k: Some(1),
        ..SamplingParams::seeded(3)
    };
    for decoder in FIXTURES.iter().map(|name| load(name).decoder) {
        let greedy = continued(&decoder, &PROMPTS, &SamplingParams::default());
        assert_eq!(continued(&decoder, &PROMPTS, &one), greedy);
    }
}

/// Not those of the one before, nor of padding.
#[test]
fn tokens_are_drawn_by_the_logits_of_the_last_real_position() {
    let decoder = load("llama").decoder;
    let likeliest = |prompt: [u32; 3]| {
        let logits = decoder.forward(ids(&[prompt]), &PaddingMask::none(1, 3));
        [1, 2].map(|position| {
            let logits = values(logits.clone().narrow(1, position, 1));
            (0..80)
                .max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize]))
                .unwrap()
        })
    };
    let penalized = SamplingParams {
        repetition_penalty: Some(1.0),
        ..SamplingParams::default()
    };
    let mut differ = 0;
    for prompt in [[1, 30, 12], [9, 8, 7], [40, 3, 60], [22, 71, 33]] {
        let [before, last] = likeliest(prompt);
        differ += usize::from(before != last);
        let rows: [&[u32]; 2] = [&prompt, &[1, 30, 12, 55, 7, 7, 41, 20]];
        let found = continued(&decoder, &rows, &penalized);
        let first = found[0].ids.first().copied();
        assert_eq!(first.unwrap_or(last), last);
        assert_eq!(first.is_none(), [5, 17].contains(&last));
    }
    assert!(
        differ >= 3,
        "the two positions say the same, so nothing was tested"
    );
}

#[test]
fn a_seed_fixes_each_row_whatever_its_batch() {
    let sampling = |seed| SamplingParams {
        temperature: Some(1.5),
        top_p: Some(0.95),
        repetition_penalty: Some(1.2),
        ..SamplingParams::seeded(seed)
    };
    for name in ["llama", "gemma2", "gpt2"] {
        let decoder = load(name).decoder;
        let together = continued(&decoder, &PROMPTS, &sampling(7));
        for (prompt, row) in PROMPTS.iter().zip(&together) {
            assert_eq!(&continued(&decoder, &[prompt], &sampling(7))[0], row);
        }
        let backwards: Vec<&[u32]> = PROMPTS.iter().rev().copied().collect();
        let mut found = continued(&decoder, &backwards, &sampling(7));
        found.reverse();
        assert_eq!(found, together);
        assert_ne!(continued(&decoder, &PROMPTS, &sampling(8)), together);
    }
}

#[test]
fn a_penalty_keeps_tokens_from_coming_again() {
    let decoder = load("llama").decoder;
    let sampling = SamplingParams {
        repetition_penalty: Some(1e6),
        ..SamplingParams::default()
    };
    let prompt = [vec![1, 30]];
    let options = SequenceOptions {
        sampling,
        ..SequenceOptions::greedy(20, Vec::new())
    };
    let mut ids = generate(&decoder, &prompt, &options).unwrap()[0]
        .ids
        .clone();
    ids.extend(&prompt[0]);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 22);
}

/// As people of other programs have it.
#[test]
fn a_temperature_of_0_is_greedy_and_a_top_k_of_0_keeps_all() {
    let decoder = load("llama").decoder;
    let written = |sampling: SamplingParams| {
        let options = SequenceOptions {
            sampling,
            ..SequenceOptions::greedy(12, Vec::new())
        };
        generate(&decoder, &[vec![1, 30, 4]], &options).unwrap()
    };
    let cold = SamplingParams {
        temperature: Some(0.0),
        top_p: Some(0.5),
        ..SamplingParams::seeded(3)
    };
    assert_eq!(written(cold), written(SamplingParams::default()));
    let all = SamplingParams {
        top_k: Some(0),
        ..SamplingParams::seeded(3)
    };
    assert_eq!(written(all), written(SamplingParams::seeded(3)));
    assert_ne!(
        written(SamplingParams::seeded(3)),
        written(SamplingParams::default())
    );
}

#[test]
fn settings_out_of_range_are_named() {
    let decoder = load("llama").decoder;
    let with = |change: fn(&mut SamplingParams)| {
        let mut sampling = SamplingParams::seeded(0);
        change(&mut sampling);
        sampling
    };
    for (sampling, words) in [
        (
            with(|sampling| sampling.temperature = Some(-1.0)),
            "temperature is -1; it must be at least 0",
        ),
        (
            with(|sampling| sampling.temperature = Some(f32::NAN)),
            "temperature is NaN",
        ),
        (
            with(|sampling| sampling.temperature = Some(f32::INFINITY)),
            "temperature is inf",
        ),
        (
            with(|sampling| sampling.top_p = Some(1.5)),
            "top_p is 1.5; it must be from 0 to 1",
        ),
        (
            with(|sampling| sampling.min_p = Some(-0.5)),
            "min_p is -0.5",
        ),
        (
            with(|sampling| sampling.repetition_penalty = Some(0.0)),
            "repetition_penalty is 0",
        ),
    ] {
        let options = SequenceOptions {
            sampling,
            ..SequenceOptions::greedy(1, Vec::new())
        };
        let error = generate(&decoder, &[vec![1]], &options).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

/// Greedy texts, and all that was shown of each.
fn texts(stop_texts: &[String]) -> Vec<(Continuation, String)> {
    let model = load("llama");
    let prompts: Vec<Vec<u32>> = PROMPTS.iter().map(|prompt| prompt.to_vec()).collect();
    let options = SequenceOptions {
        stop_texts: stop_texts.to_vec(),
        ..SequenceOptions::greedy(16, Vec::new())
    };
    let mut shown = vec![String::new(); prompts.len()];
    let found = generate_text(
        &model.decoder,
        &model.tokenizer,
        &prompts,
        &options,
        |row, text| {
            shown[row] += text;
            ControlFlow::Continue(())
        },
    );
    found.unwrap().into_iter().zip(shown).collect()
}

#[test]
fn stop_texts_end_a_row_and_are_never_shown() {
    let whole = texts(&[]);
    for (row, shown) in &whole {
        assert_eq!(&row.text, shown);
        assert!(row.ids.len() == 16 && !row.stopped);
    }
    // Three characters amid the text, which are several tokens; and something that never comes,
    // though it may begin at the end of the text.
    let text = &whole[1].0.text;
    let stop: String = text.chars().skip(4).take(3).collect();
    let last: String = text.chars().rev().take(1).collect();
    let stopped = texts(&[stop.clone(), format!("{last}~never~")]);
    for ((row, shown), (all, _)) in stopped.iter().zip(&whole) {
        let end = all.text.find(&stop);
        assert_eq!(row.text, all.text[..end.unwrap_or(all.text.len())]);
        assert_eq!(&row.text, shown);
        assert_eq!(row.stopped, end.is_some());
        assert_eq!(row.ids, all.ids[..row.ids.len()]);
    }
    let (row, _) = &stopped[1];
    assert!(row.stopped && row.ids.len() < 16 && !row.text.contains(&stop));
}

/// A stop text that is, or holds, a special token ends a row, though special tokens are never shown.
#[test]
fn special_tokens_stop() {
    let model = load("llama");
    let prompts = [vec![1, 30]];
    let go_on = |_: usize, _: &str| ControlFlow::Continue(());
    let run = |tokenizer: &Tokenizer, stop_texts: &[&str]| {
        let options = SequenceOptions {
            stop_texts: stop_texts.iter().map(|stop| (*stop).to_owned()).collect(),
            ..SequenceOptions::greedy(16, Vec::new())
        };
        let found = generate_text(&model.decoder, tokenizer, &prompts, &options, go_on);
        found.unwrap().remove(0)
    };
    // The last token that has not come before; it is made special, and named as no text is.
    let plain = run(&model.tokenizer, &[]);
    let is_new = |place: &usize| !plain.ids[..*place].contains(&plain.ids[*place]);
    let place = (1..15).rev().find(is_new).unwrap();
    let token = model.tokenizer.token(plain.ids[place]).unwrap();
    let mut json: Value = serde_json::from_str(model.tokenizer.json()).unwrap();
    let vocab = json["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove(&token).unwrap();
    vocab.insert("<|end|>".to_owned(), id.clone());
    let model_json = &mut json["model"];
    let merges = model_json["merges"].as_array_mut().unwrap();
    merges.retain(|merge| !merge.to_string().contains(&token));
    json["added_tokens"]
        .as_array_mut()
        .unwrap()
        .push(serde_json::json!({
            "id": id, "content": "<|end|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    let tokenizer = Tokenizer::from_json(json.to_string(), &fixture("t.json")).unwrap();

    let whole = run(&tokenizer, &[]);
    assert_eq!((&whole.ids, whole.stopped), (&plain.ids, false));
    assert!(!whole.text.contains("end"), "{}", whole.text);
    let before = tokenizer.decode(&plain.ids[..place], true).unwrap();
    let last = before.chars().next_back().unwrap();
    let behind = tokenizer
        .decode(&plain.ids[place + 1..=place + 1], true)
        .unwrap();

    let stopped = run(&tokenizer, &["never", "<|end|>"]);
    assert_eq!((stopped.text.as_str(), stopped.stopped), (&*before, true));
    assert_eq!(stopped.ids, plain.ids[..place]);
    for (stop, text) in [
        (format!("<|end|>{behind}"), &*before),
        (
            format!("{last}<|end|>"),
            &before[..before.len() - last.len_utf8()],
        ),
        (
            format!("{last}<|end|>{behind}"),
            &before[..before.len() - last.len_utf8()],
        ),
    ] {
        let stopped = run(&tokenizer, &[&stop]);
        assert_eq!(
            (stopped.text.as_str(), stopped.stopped),
            (text, true),
            "{stop}"
        );
    }
    // Part of a special token is no text, and what is held back for one comes without it.
    for stop in ["end|>", "<|end|>never", "|>"] {
        let both = run(&tokenizer, &[stop, "<|end|>never"]);
        assert_eq!((&both.text, both.stopped), (&whole.text, false), "{stop}");
    }
}

#[test]
fn whoever_is_shown_the_text_may_end_a_row() {
    let model = load("llama");
    let prompts = [vec![1, 30], vec![77]];
    let options = SequenceOptions::greedy(16, Vec::new());
    let mut pieces = [0, 0];
    let found = generate_text(
        &model.decoder,
        &model.tokenizer,
        &prompts,
        &options,
        |row, _| {
            pieces[row] += 1;
            if row == 1 && pieces[1] == 3 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        },
    );
    let found = found.unwrap();
    assert_eq!((found[0].ids.len(), found[0].stopped), (16, false));
    assert!(found[1].ids.len() < 16 && found[1].stopped);
    assert_eq!(pieces[1], 3);
}

#[test]
fn an_empty_stop_text_is_refused() {
    let model = load("llama");
    let options = SequenceOptions {
        stop_texts: vec!["a".to_owned(), String::new()],
        ..SequenceOptions::greedy(4, Vec::new())
    };
    let prompts = [vec![1]];
    let go_on = |_: usize, _: &str| ControlFlow::Continue(());
    let found = generate_text(&model.decoder, &model.tokenizer, &prompts, &options, go_on);
    assert!(matches!(found, Err(ModelError::EmptyStopText { index: 1 })));
}

#[test]
fn a_shared_beginning_changes_nothing() {
    let beginning: Vec<u32> = (0..20).map(|i| 3 + i * 7 % 60).collect();
    let prompts = [vec![9], vec![12, 30, 5, 41], vec![7, 7]];
    let prompts = prompts.map(|rest| [beginning.clone(), rest].concat());
    let options = SequenceOptions::greedy(12, Vec::new());
    let show = |_: usize, _: &str| ControlFlow::Continue(());
    for name in FIXTURES {
        let model = load(name);
        let (decoder, tokenizer) = (&model.decoder, &model.tokenizer);
        let prefix = SharedPrefix::of(decoder, &prompts).unwrap().unwrap();
        assert_eq!(prefix.len(), 20, "{name}");
        let with = |prefix, prompts: &[Vec<u32>]| {
            generate_text_after(decoder, tokenizer, prefix, prompts, &options, show).unwrap()
        };
        assert_eq!(
            with(Some(&prefix), &prompts),
            with(None, &prompts),
            "{name}"
        );
        // Prompts that begin otherwise are computed from their own beginning.
        let others = [vec![1, 2, 3], vec![4]];
        assert_eq!(with(Some(&prefix), &others), with(None, &others), "{name}");
    }
    let decoder = load(FIXTURES[0]).decoder;
    assert!(
        SharedPrefix::of(&decoder, &[vec![1, 2], vec![3]])
            .unwrap()
            .is_none()
    );
}
