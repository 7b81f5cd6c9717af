//! A pass over trees of tokens is a pass over each of their texts.

use crate::common::{FIXTURES, assert_close, load};
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_models::{Cache, Context, Decoder, KvCache, PaddingMask, TokenTrees};

/// Two rows of trees: for every token its id and the position of the one before it.
const ROWS: [&[(u32, Option<usize>)]; 2] = [
    &[
        (1, None),
        (30, Some(0)),
        (12, Some(1)),
        (55, Some(1)),
        (7, Some(3)),
        (41, Some(4)),
        (20, Some(0)),
        (9, Some(5)),
    ],
    &[
        (4, None),
        (5, None),
        (6, Some(1)),
        (7, Some(2)),
        (8, Some(3)),
    ],
];

fn tensor(ids: Vec<u32>, seq: usize) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
    let shape = [ids.len() / seq, seq];
    Tensor::from_data(TensorData::new(ids, shape), &Device::default())
}

fn trees(held: &PaddingMask, rows: &[&[(u32, Option<usize>)]]) -> (Tensor<2, Int>, TokenTrees) {
    let parents: Vec<Vec<Option<usize>>> = rows
        .iter()
        .map(|row| row.iter().map(|(_, parent)| *parent).collect())
        .collect();
    let seq = rows.iter().map(|row| row.len()).max().unwrap();
    let ids = rows.iter().flat_map(|row| {
        let ids = row.iter().map(|(id, _)| *id);
        ids.chain(std::iter::repeat_n(0, seq - row.len()))
    });
    (tensor(ids.collect(), seq), TokenTrees::new(held, &parents))
}

fn run(
    decoder: &Decoder,
    (ids, trees): (Tensor<2, Int>, TokenTrees),
    mut cache: Option<&mut KvCache>,
) -> Tensor<3> {
    let context = Context::of_trees(decoder, &trees, cache.as_deref_mut());
    let hidden = decoder.embed(ids, &context);
    decoder.run(0..decoder.block_count(), hidden, &context, cache)
}

/// The last hidden state of a text by itself.
fn alone(decoder: &Decoder, text: &[u32]) -> Tensor<3> {
    let context = Context::new(decoder, &PaddingMask::none(1, text.len()), None);
    let hidden = decoder.embed(tensor(text.to_vec(), text.len()), &context);
    let hidden = decoder.run(0..decoder.block_count(), hidden, &context, None);
    hidden.narrow(1, text.len() - 1, 1)
}

fn text(row: &[(u32, Option<usize>)], end: usize) -> Vec<u32> {
    let nodes = std::iter::successors(Some(end), |node| row[*node].1);
    let mut ids: Vec<u32> = nodes.map(|node| row[node].0).collect();
    ids.reverse();
    ids
}

#[test]
fn every_token_of_a_tree_is_as_in_a_text_of_its_own() {
    for name in FIXTURES {
        let decoder = load(name).decoder;
        let both = run(&decoder, trees(&PaddingMask::none(2, 0), &ROWS), None);
        for (row, nodes) in ROWS.iter().enumerate() {
            for end in 0..nodes.len() {
                let found = both.clone().slice([row..row + 1, end..end + 1]);
                assert_close(found, alone(&decoder, &text(nodes, end)));
            }
        }
    }
}

#[test]
fn a_cache_is_rolled_back_row_by_row_and_gone_on_from() {
    for name in FIXTURES {
        let decoder = load(name).decoder;
        let mut cache = KvCache::new(decoder.block_count(), 2);
        run(
            &decoder,
            trees(&PaddingMask::none(2, 0), &ROWS),
            Some(&mut cache),
        );
        // The first row keeps 1 30 55 7, the second 5 6.
        let kept = [vec![0, 1, 3, 4], vec![1, 2]];
        cache.retain(|row, position| kept[row].contains(&position));
        assert_eq!(cache.len(), 5);
        let next: [&[(u32, Option<usize>)]; 2] = [
            &[(33, Some(4)), (34, Some(1))],
            &[(35, Some(2)), (36, Some(5)), (37, Some(6))],
        ];
        let held = cache.positions().clone();
        let found = run(&decoder, trees(&held, &next), Some(&mut cache));
        let expected: [(usize, usize, &[u32]); 4] = [
            (0, 0, &[1, 30, 55, 7, 33]),
            (0, 1, &[1, 30, 34]),
            (1, 0, &[5, 6, 35]),
            (1, 2, &[5, 6, 35, 36, 37]),
        ];
        for (row, position, text) in expected {
            let found = found.clone().slice([row..row + 1, position..position + 1]);
            assert_close(found, alone(&decoder, text));
        }
    }
}

#[test]
fn holes_are_given_back() {
    let decoder = load("mistral").decoder;
    let mut cache = KvCache::new(decoder.block_count(), 2);
    let chain = |past: usize, first: u32, at: &[usize]| -> Vec<(u32, Option<usize>)> {
        let parents = at[..at.len() - 1].iter().map(|at| Some(*at));
        let parents = past.checked_sub(1).into_iter().map(Some).chain(parents);
        let parents = std::iter::repeat_n(None, usize::from(past == 0)).chain(parents);
        parents
            .enumerate()
            .map(|(i, parent)| (first + i as u32 % 40, parent))
            .collect()
    };
    let places: Vec<usize> = (0..80).collect();
    let row = chain(0, 3, &places);
    run(
        &decoder,
        trees(&PaddingMask::none(2, 0), &[&row, &row]),
        Some(&mut cache),
    );
    let full = cache.bytes();
    // Every fourth stays of the first row, every eighth of the second: a row is one text, so what
    // stays is as if it had been read without the rest only in a first block; here only the places
    // matter.
    cache.retain(|row, position| position % if row == 0 { 4 } else { 8 } == 0);
    cache.compact();
    assert_eq!(cache.len(), 20);
    assert_eq!(cache.positions(), &PaddingMask::right(&[20, 10]));
    // A pass without new tokens reads what is stored.
    let (keys, _) = cache.stored(0).unwrap();
    assert_eq!(keys.dims()[2], cache.key_count());
    let next: [&[(u32, Option<usize>)]; 2] = [&[(9, Some(19))], &[(9, Some(9))]];
    let held = cache.positions().clone();
    run(&decoder, trees(&held, &next), Some(&mut cache));
    assert!(cache.bytes() * 3 <= full, "{} of {full}", cache.bytes());
}

#[test]
fn going_back_far_takes_memory_back() {
    let decoder = load("llama").decoder;
    let mut cache = KvCache::new(decoder.block_count(), 1);
    let read = |ids: Vec<u32>, cache: &mut KvCache| {
        let padding = PaddingMask::none(1, ids.len());
        let seq = ids.len();
        let context = Context::new(&decoder, &padding, Some(cache));
        let hidden = decoder.embed(tensor(ids, seq), &context);
        decoder.run(0..decoder.block_count(), hidden, &context, Some(cache))
    };
    let ids: Vec<u32> = (0..100).map(|i| 3 + i * 7 % 50).collect();
    read(ids.clone(), &mut cache);
    let (long, whole) = (cache.bytes(), read(vec![9], &mut cache));
    cache.truncate(100);
    assert_close(read(vec![9], &mut cache), whole);
    cache.truncate(5);
    let found = read(vec![9], &mut cache);
    assert_close(found, alone(&decoder, &[&ids[..5], &[9]].concat()));
    assert!(cache.bytes() < long);
}
