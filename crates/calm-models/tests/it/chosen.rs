//! A last block that is computed at chosen positions is the last block at these positions.

use crate::common::{FIXTURES, assert_close, ids, load};
use burn::tensor::{Device, Tensor};
use calm_models::{ChosenPositions, Context, Decoder, PaddingMask};

const TEXT: [[u32; 8]; 3] = [
    [1, 30, 12, 55, 7, 41, 20, 9],
    [4, 5, 6, 7, 8, 9, 0, 0],
    [1, 9, 3, 17, 22, 8, 2, 0],
];

/// The last hidden states at these positions of the flattened rows: computed there only, and chosen
/// of all.
fn both_ways(decoder: &Decoder, padding: &PaddingMask, positions: &[u32]) -> [Tensor<2>; 2] {
    let [batch, seq] = [padding.batch(), padding.seq()];
    let context = Context::new(decoder, padding, None);
    let last = decoder.block_count() - 1;
    let hidden = decoder.embed(ids(&TEXT), &context);
    let hidden = decoder.run(0..last, hidden, &context, None);
    let run = |context: &Context| decoder.run(last..last + 1, hidden.clone(), context, None);

    let chosen = ChosenPositions::new(positions, [batch, seq], &Device::default());
    let there = chosen.wanted(run(&context.choosing(&chosen)));
    let everywhere: Vec<Tensor<2>> = positions
        .iter()
        .map(|position| {
            let (row, place) = (*position as usize / seq, *position as usize % seq);
            run(&context)
                .slice([row..row + 1, place..place + 1])
                .squeeze_dim(1)
        })
        .collect();
    [there, Tensor::cat(everywhere, 0)]
}

#[test]
fn every_family_can_choose() {
    let lengths = [8, 6, 7];
    let choices: [&[u32]; 5] = [
        // As many of each row, at the same places.
        &[2, 5, 10, 13, 18, 21],
        // The ends of rows of different lengths.
        &[4, 5, 6, 7, 12, 13, 22],
        // None of the second row.
        &[0, 3, 16, 17, 18],
        // All of the first.
        &[0, 1, 2, 3, 4, 5, 6, 7, 9],
        &[23],
    ];
    for name in FIXTURES {
        let decoder = load(name).decoder;
        for padding in [
            PaddingMask::none(3, 8),
            PaddingMask::right(&lengths),
            PaddingMask::left(&lengths),
        ] {
            for positions in choices {
                let is_real = |position: &&u32| {
                    let position = **position as usize;
                    padding.row(position / 8)[position % 8]
                };
                let real: Vec<u32> = positions.iter().filter(is_real).copied().collect();
                let [there, everywhere] = match real.as_slice() {
                    [] => continue,
                    real => both_ways(&decoder, &padding, real),
                };
                assert_close(there, everywhere);
            }
        }
    }
}

#[test]
fn nothing_may_be_wanted() {
    let decoder = load("llama").decoder;
    let context = Context::new(&decoder, &PaddingMask::none(3, 8), None);
    let chosen = ChosenPositions::new(&[], [3, 8], &Device::default());
    let hidden = decoder.embed(ids(&TEXT), &context);
    let hidden = decoder.run(0..1, hidden, &context.choosing(&chosen), None);
    assert_eq!(hidden.dims()[..2], [3, 1]);
}

#[test]
#[should_panic(expected = "a block needs all positions of the block before it")]
fn only_the_last_block_can_be_computed_at_chosen_positions() {
    let decoder = load("llama").decoder;
    let context = Context::new(&decoder, &PaddingMask::none(3, 8), None);
    let chosen = ChosenPositions::new(&[3, 4], [3, 8], &Device::default());
    let hidden = decoder.embed(ids(&TEXT), &context);
    decoder.run(0..2, hidden, &context.choosing(&chosen), None);
}
