//! Caches, padding and batches never change what a model computes.

use std::ops::Range;
use std::panic::AssertUnwindSafe;

use crate::common::{FIXTURES, assert_close, ids, load};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_models::{
    Cache, CausalLm, Context, Continuation, Decoder, KvCache, ModelError, PaddingMask,
    SequenceOptions, generate,
};

const TEXT: [u32; 8] = [1, 30, 12, 55, 7, 7, 41, 20];

/// A cache's storage grows by 32 positions; this text needs it to grow twice.
fn long_text() -> [u32; 70] {
    std::array::from_fn(|i| 3 + (i as u32 * 31) % 70)
}

#[test]
fn token_by_token_equals_all_at_once() {
    for name in FIXTURES {
        let decoder = load(name).decoder;
        let text = long_text();
        let whole = decoder
            .hidden_states(ids(&[text]), &PaddingMask::none(1, 70), None)
            .unwrap();
        // A text that has just begun may have other rotary frequencies.
        let begin = text
            .into_iter()
            .take_while(|_| !decoder.cache_serves(1, 70))
            .take(18);
        let begin: Vec<u32> = begin.collect();
        let mut cache = decoder.new_cache(1);
        let mut run = |chunk: &[u32]| {
            let chunk = Tensor::<1, Int>::from_ints(chunk, &Device::default()).unsqueeze();
            let padding = PaddingMask::none(1, chunk.dims()[1]);
            decoder
                .hidden_states(chunk, &padding, Some(&mut cache))
                .unwrap()
        };
        if !begin.is_empty() {
            run(&begin);
        }
        for (i, id) in text.into_iter().enumerate().skip(begin.len()) {
            assert_close(run(&[id]), whole.clone().narrow(1, i, 1));
        }
        assert_eq!(cache.len(), 70);
    }
}

#[test]
fn chunks_equal_all_at_once() {
    let decoder = load("llama").decoder;
    let whole = decoder
        .hidden_states(ids(&[TEXT]), &PaddingMask::none(1, 8), None)
        .unwrap();
    let mut cache = decoder.new_cache(1);
    let mut run = |chunk| {
        decoder
            .hidden_states(chunk, &PaddingMask::none(1, 4), Some(&mut cache))
            .unwrap()
    };
    assert_close(run(ids(&[[1, 30, 12, 55]])), whole.clone().narrow(1, 0, 4));
    assert_close(run(ids(&[[7, 7, 41, 20]])), whole.narrow(1, 4, 4));
}

#[test]
fn blocks_run_apart_equal_blocks_run_together() {
    let decoder = load("llama3-scaled-tied").decoder;
    let padding = PaddingMask::none(1, 8);
    let context = Context::new(&decoder, &padding, None);
    let hidden = decoder.run(0..1, decoder.embed(ids(&[TEXT]), &context), &context, None);
    let apart = decoder.run(1..3, hidden, &context, None);
    assert_eq!(
        apart.into_data(),
        decoder
            .hidden_states(ids(&[TEXT]), &padding, None)
            .unwrap()
            .into_data()
    );
}

#[test]
fn padding_on_either_side_changes_nothing() {
    for name in FIXTURES {
        let decoder = load(name).decoder;
        let alone = decoder.forward(ids(&[[30, 12, 55]]), &PaddingMask::none(1, 3));
        let left = ids(&[[9, 9, 30, 12, 55], [3, 4, 5, 6, 7]]);
        let left = decoder.forward(left, &PaddingMask::left(&[3, 5]));
        assert_close(left.slice([0..1, 2..5]), alone.clone());
        let right = ids(&[[30, 12, 55, 9, 9], [3, 4, 5, 6, 7]]);
        let right = decoder.forward(right, &PaddingMask::right(&[3, 5]));
        assert_close(right.slice([0..1, 0..3]), alone);
    }
}

#[test]
fn padding_amid_cached_positions_changes_nothing() {
    let decoder = load("llama").decoder;
    let whole = decoder
        .hidden_states(ids(&[[30, 12, 55, 20]]), &PaddingMask::none(1, 4), None)
        .unwrap();
    let mut cache = decoder.new_cache(2);
    let mut run = |chunk, padding: PaddingMask| {
        decoder
            .hidden_states(chunk, &padding, Some(&mut cache))
            .unwrap()
            .narrow(0, 0, 1)
    };
    run(ids(&[[0, 30], [5, 6]]), PaddingMask::left(&[1, 2]));
    run(ids(&[[12, 0], [5, 6]]), PaddingMask::right(&[1, 2]));
    let last = run(ids(&[[55, 20], [5, 6]]), PaddingMask::none(2, 2));
    assert_close(last, whole.narrow(1, 2, 2));
}

#[test]
fn a_later_token_moves_no_earlier_logit() {
    let decoder = load("llama").decoder;
    let mut other = TEXT;
    other[6] = 42;
    let logits = |text| decoder.forward(ids(&[text]), &PaddingMask::none(1, 8));
    let (a, b) = (logits(TEXT), logits(other));
    assert_eq!(
        a.clone().narrow(1, 0, 6).into_data(),
        b.clone().narrow(1, 0, 6).into_data()
    );
    assert_ne!(a.narrow(1, 6, 1).into_data(), b.narrow(1, 6, 1).into_data());
}

#[test]
fn truncating_rolls_back() {
    let decoder = load("llama").decoder;
    let whole = decoder
        .hidden_states(ids(&[TEXT]), &PaddingMask::none(1, 8), None)
        .unwrap();
    let mut cache = decoder.new_cache(1);
    let run = |ids, seq, cache: &mut _| {
        decoder
            .hidden_states(ids, &PaddingMask::none(1, seq), Some(cache))
            .unwrap()
    };
    run(ids(&[[1, 30, 12, 55, 60, 61, 62]]), 7, &mut cache);
    cache.truncate(4);
    assert_eq!(cache.len(), 4);
    assert_close(
        run(ids(&[[7, 7, 41, 20]]), 4, &mut cache),
        whole.narrow(1, 4, 4),
    );
}

/// Tokens for ever.
fn endless(from: usize) -> impl Iterator<Item = u32> {
    (from..).map(|i| 3 + (i as u32 * 31) % 70)
}

#[test]
fn what_no_window_reaches_is_dropped() {
    // All blocks of the one have a window, of the other some.
    for (name, grows) in [("mistral", false), ("gemma2", true)] {
        let decoder = load(name).decoder;
        let mut cache = decoder.new_cache(2);
        let mut all = KvCache::new(decoder.block_count(), 2);
        let padding = PaddingMask::left(&[40, 33]);
        let mut bytes = Vec::new();
        let mut next = [endless(0), endless(5)];
        let mut run = |padding: PaddingMask| {
            let rows = next.each_mut().map(|row| row.take(padding.seq()));
            let rows: Vec<i64> = rows.into_iter().flatten().map(i64::from).collect();
            let shape = [2, padding.seq()];
            let ids = Tensor::from_data(TensorData::new(rows, shape), &Device::default());
            let found = decoder
                .hidden_states(ids.clone(), &padding, Some(&mut cache))
                .unwrap();
            let expected = decoder
                .hidden_states(ids, &padding, Some(&mut all))
                .unwrap();
            assert_close(found.narrow(0, 0, 1), expected.narrow(0, 0, 1));
            bytes.push([cache.bytes(), all.bytes()]);
        };
        run(padding);
        for seq in [1, 1, 30, 2].into_iter().chain([1; 250]) {
            run(PaddingMask::none(2, seq));
        }
        let [found, all] = *bytes.last().unwrap();
        assert!(found < all, "{name}: {found} of {all}");
        let most = |bytes: &[[usize; 2]]| bytes.iter().map(|[found, _]| *found).max();
        let (early, late) = bytes.split_at(110);
        assert_eq!(grows, most(late) > most(early), "{name}");
    }
}

#[test]
fn a_cache_goes_back_only_to_what_it_has_kept() {
    let decoder = load("mistral").decoder;
    let mut cache = decoder.new_cache(1);
    let ids: Vec<i64> = endless(0).take(100).map(i64::from).collect();
    let ids: Tensor<2, Int> = Tensor::from_data(TensorData::new(ids, [1, 100]), &Device::default());
    let run = |cache: &mut KvCache, range: Range<usize>| {
        let ids = ids.clone().narrow(1, range.start, range.len());
        decoder
            .hidden_states(ids, &PaddingMask::none(1, range.len()), Some(cache))
            .unwrap()
    };
    let whole = run(&mut cache, 0..100);
    cache.truncate(68);
    assert_close(run(&mut cache, 68..100), whole.narrow(1, 68, 32));
    let back = std::panic::catch_unwind(AssertUnwindSafe(|| cache.truncate(40)));
    assert!(back.is_err(), "positions before 40 were dropped");
    cache.truncate(0);
    run(&mut cache, 0..3);
    assert_eq!(cache.len(), 3);
}

#[test]
fn rows_can_leave_a_cache() {
    let decoder = load("llama").decoder;
    let whole = decoder
        .hidden_states(ids(&[TEXT]), &PaddingMask::none(1, 8), None)
        .unwrap();
    let mut cache = decoder.new_cache(3);
    let rows = ids(&[[5; 7], [1, 30, 12, 55, 7, 7, 41], [6; 7]]);
    decoder
        .hidden_states(rows, &PaddingMask::none(3, 7), Some(&mut cache))
        .unwrap();
    let bytes = cache.bytes();
    cache.select_rows(&[1]);
    assert_eq!(cache.bytes(), bytes / 3);
    let last = decoder
        .hidden_states(ids(&[[20]]), &PaddingMask::none(1, 1), Some(&mut cache))
        .unwrap();
    assert_close(last, whole.narrow(1, 7, 1));
}

fn greedy(decoder: &Decoder, prompts: &[&[u32]], stop: &[u32]) -> Vec<Continuation> {
    let prompts: Vec<Vec<u32>> = prompts.iter().map(|prompt| prompt.to_vec()).collect();
    let options = SequenceOptions::greedy(10, stop.to_vec());
    generate(decoder, &prompts, &options).unwrap()
}

#[test]
fn a_row_of_a_batch_is_continued_as_if_alone() {
    // Of a batch with frequencies that depend on the length, the longest row decides.
    let families = FIXTURES.iter().filter(|name| **name != "phi3-longrope");
    for decoder in families.map(|name| load(name).decoder) {
        continue_together_and_alone(&decoder);
    }
}

fn continue_together_and_alone(decoder: &Decoder) {
    let prompts: [&[u32]; 4] = [&[1, 30], &TEXT, &[77], &[1, 2, 3, 4, 5]];
    let alone: Vec<Continuation> = prompts
        .iter()
        .flat_map(|prompt| greedy(decoder, &[prompt], &[]))
        .collect();
    assert!(alone.iter().all(|row| row.ids.len() == 10 && !row.stopped));
    assert_eq!(greedy(decoder, &prompts, &[]), alone);

    // Rows now end at different times, and some leave the cache before the others.
    let stop = [alone[0].ids[1], alone[1].ids[4], alone[2].ids[0]];
    let stopped = greedy(decoder, &prompts, &stop);
    for (row, whole) in stopped.iter().zip(&alone) {
        let end = whole.ids.iter().position(|id| stop.contains(id));
        assert_eq!(row.ids, whole.ids[..end.unwrap_or(10)]);
        assert_eq!(row.stopped, end.is_some());
    }
    assert!(stopped.iter().filter(|row| row.stopped).count() >= 3);
}

#[test]
fn frequencies_may_change_while_decoding() {
    let decoder = load("phi3-longrope").decoder;
    let prompt = |length: u32| -> Vec<u32> { (0..length).map(|i| 3 + i * 7 % 70).collect() };
    // Beyond 17 tokens they are others: some rows grow into that, some lead a batch out of it.
    let prompts = [prompt(15), prompt(3), prompt(17), prompt(12)];
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let whole = greedy(&decoder, &prompts, &[]);
    assert!(whole.iter().all(|row| row.ids.len() == 10));
    for row in &whole {
        let stop = [row.ids[1], whole[2].ids[0]];
        assert_eq!(greedy(&decoder, &prompts, &stop).len(), 4);
    }
    for prompt in prompts {
        let mut text = prompt.to_vec();
        for id in &greedy(&decoder, &[prompt], &[])[0].ids {
            let next = greedy_once(&decoder, &text);
            assert_eq!(*id, next, "after {} tokens", text.len());
            text.push(next);
        }
    }
}

/// The next token, computed from the whole text.
fn greedy_once(decoder: &Decoder, text: &[u32]) -> u32 {
    let ids = Tensor::<1, Int>::from_ints(text, &Device::default()).unsqueeze();
    let logits = decoder.forward(ids, &PaddingMask::none(1, text.len()));
    let last = logits.narrow(1, text.len() - 1, 1).argmax(2);
    last.try_into_vec_as::<u32>().unwrap()[0]
}

#[test]
fn continuations_end_with_the_context() {
    let decoder = load("llama").decoder;
    let prompt = vec![5; 125];
    let row = &greedy(&decoder, &[&prompt, &[5]], &[])[0];
    assert_eq!(
        (row.ids.len(), row.stopped),
        (3, false),
        "the context holds 128"
    );
}

#[test]
fn prompts_that_cannot_be_continued_are_named() {
    let decoder = load("llama").decoder;
    let options = SequenceOptions::greedy(1, Vec::new());
    let error = |prompt: Vec<u32>| generate(&decoder, &[vec![1], prompt], &options).unwrap_err();
    assert!(matches!(error(vec![]), ModelError::EmptyPrompt { row: 1 }));
    assert!(matches!(
        error(vec![80]),
        ModelError::TokenOutOfRange { row: 1, id: 80, .. }
    ));
    assert!(matches!(
        error(vec![1; 128]),
        ModelError::ContextLength {
            row: 1,
            tokens: 128,
            ..
        }
    ));
    assert!(generate(&decoder, &[], &options).unwrap().is_empty());
}
