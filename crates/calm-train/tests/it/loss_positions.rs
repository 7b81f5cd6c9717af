//! A pass over the positions that carry loss only has the loss and the gradients of one
//! over all positions.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_backend::ops;
use calm_compose::{Augmenting, BridgeOptions, Bridges, Connection, FrozenParts, Mode, OutputInit};
use calm_data::{Batch, TokenizedExample};
use calm_models::{CausalLm as _, Decoder, DecoderConfig, PaddingMask};
use calm_train::{BridgeTraining, LanguageModelling, Objective};

/// Rows of different lengths; targets that are short, long, and the whole row, which in the second
/// batch is the longest.
fn batches() -> [Batch; 2] {
    let example = |ids: &[u32], target_start| TokenizedExample::new(ids.to_vec(), target_start);
    let examples = [
        example(&[1, 5, 3, 9, 2, 8, 8, 1], 6),
        example(&[7, 4, 4, 8, 11], 2),
        example(&[3, 2, 1, 9, 6, 6, 4], 0),
        example(&[3, 12, 2], 2),
    ];
    let batch = |examples: &[TokenizedExample]| Batch::collate(examples.iter().enumerate(), 0);
    [batch(&examples), batch(&examples[1..])]
}

/// An anchor whose last block has a window, read at these places.
fn parts(connections: &[[usize; 2]]) -> FrozenParts {
    let mut anchor = DecoderConfig::llama(16, 16, 3, 4);
    anchor.blocks[2].attention.window = Some(3);
    let augmenting = calm_testing::llama(16, [8, 2, 2], 1);
    let connections: Vec<Connection> = connections.iter().map(|pair| (*pair).into()).collect();
    FrozenParts {
        anchor: calm_testing::decoder(&anchor, 0),
        augmenting: vec![Augmenting::new(augmenting, connections)],
    }
}

/// Bridges that add something.
fn bridges(parts: &FrozenParts) -> Bridges {
    let options = BridgeOptions {
        output_init: OutputInit::Random,
        anchor_norm: true,
        ..BridgeOptions::paper()
    };
    let sets = parts.bridge_sets_with(2, options);
    Bridges::init(&sets, 3, &Device::default().autodiff()).unwrap()
}

/// The loss of these last hidden states, `[batch, seq, d_model]`.
fn loss_of(decoder: &Decoder, hidden: Tensor<3>, batch: &Batch) -> Tensor<1> {
    let [rows, length, d_model] = hidden.dims();
    let device = hidden.device().without_autodiff();
    let indices = |values: &[u32]| {
        let values: Vec<i64> = values.iter().map(|value| i64::from(*value)).collect();
        let shape = [values.len()];
        Tensor::<1, Int>::from_data(TensorData::new(values, shape), &device)
    };
    let hidden = hidden
        .reshape([rows * length, d_model])
        .select(0, indices(&batch.loss_positions));
    ops::cross_entropy_sum(decoder.finish_positions(hidden), indices(&batch.targets))
}

fn ids(batch: &Batch) -> (Tensor<2, Int>, PaddingMask) {
    let ids: Vec<i64> = batch.ids.iter().map(|id| i64::from(*id)).collect();
    let shape = [batch.rows, batch.length];
    let lengths: Vec<usize> = batch.texts().map(<[u32]>::len).collect();
    let ids = Tensor::from_data(TensorData::new(ids, shape), &Device::default());
    (ids, PaddingMask::right(&lengths))
}

#[track_caller]
fn assert_alike(name: &str, found: &TensorData, expected: &TensorData) {
    let [found, expected] = [found, expected].map(|data| data.iter::<f64>().collect::<Vec<_>>());
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let apart: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    assert!(norm(&expected) > 0.0, "{name}: nothing to compare");
    let relative = norm(&apart) / norm(&expected);
    assert!(relative < 1e-5, "{name}: {relative:e}");
}

#[test]
fn bridges_learn_the_same_wherever_they_are() {
    let places: [&[[usize; 2]]; 4] = [
        &[[1, 1], [2, 2]],
        // The last is read at what the last block puts out; or nothing is read before.
        &[[1, 1], [2, 3]],
        &[[2, 3]],
        &[[1, 3], [2, 3]],
    ];
    for connections in places {
        for mode in [Mode::Iterative, Mode::Encoder] {
            let parts = parts(connections).in_mode(mode);
            for batch in batches() {
                compare(&parts, &batch, mode);
            }
        }
    }
}

fn compare(parts: &FrozenParts, batch: &Batch, mode: Mode) {
    let bridges = bridges(parts);
    let found = BridgeTraining::new(parts).loss(&bridges, batch);
    let expected = everywhere(parts, &bridges, batch, mode);
    assert_alike("loss", &found.to_data(), &expected.to_data());
    let found = bridges.named_gradients(&found.backward());
    let expected = bridges.named_gradients(&expected.backward());
    for ((name, found), (_, expected)) in found.iter().zip(&expected) {
        let connections = &parts.augmenting[0].connections;
        assert_alike(&format!("{connections:?} {name}"), found, expected);
    }
}

/// The loss by a pass over all positions, in which an encoder is told each row's prompt.
fn everywhere(parts: &FrozenParts, bridges: &Bridges, batch: &Batch, mode: Mode) -> Tensor<1> {
    if mode == Mode::Iterative {
        let (ids, padding) = ids(batch);
        let hidden = parts.hidden_states(bridges, ids, &padding, None).unwrap();
        return loss_of(&parts.anchor, hidden, batch);
    }
    let prompts = batch.prompts();
    let rows = batch
        .texts()
        .zip(prompts)
        .zip(0u32..)
        .map(|((text, prompt), row)| {
            let mut cache = calm_compose::ComposedCache::new(parts, 1);
            let pieces = [&text[..prompt], &text[prompt..]];
            let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
            let hidden = pieces.map(|piece| {
                let shape = [1, piece.len()];
                let ids: Vec<i64> = piece.iter().map(|id| i64::from(*id)).collect();
                let ids = Tensor::from_data(TensorData::new(ids, shape), &Device::default());
                let padding = PaddingMask::none(1, shape[1]);
                let hidden = parts.hidden_states(bridges, ids, &padding, Some(&mut cache));
                hidden.unwrap()
            });
            let hidden = Tensor::cat(hidden.collect(), 1);
            let own = row * batch.length as u32..(row + 1) * batch.length as u32;
            let mut alone = batch.clone();
            let places = batch.loss_positions.iter().zip(&batch.targets);
            (alone.loss_positions, alone.targets) = places
                .filter(|(place, _)| own.contains(place))
                .map(|(place, target)| (place - own.start, *target))
                .unzip();
            loss_of(&parts.anchor, hidden, &alone)
        });
    rows.reduce(|sum, row| sum + row).unwrap()
}

#[test]
fn a_whole_model_learns_the_same() {
    let mut config = DecoderConfig::llama(16, 8, 2, 2);
    config.blocks[1].attention.window = Some(3);
    let decoder = Decoder::untrained(&config, 4, &Device::default().autodiff()).train();
    let [batch, _] = batches();
    let gradients = |loss: &Tensor<1>| {
        let gradients = loss.backward();
        decoder
            .blocks
            .iter()
            .flat_map(|block| {
                let attention = &block.attention;
                let forward = block.feed_forward.as_ref().unwrap();
                [
                    &attention.query,
                    &attention.key,
                    &attention.value,
                    &attention.output,
                ]
                .into_iter()
                .chain([&forward.up, &forward.down])
            })
            .map(|linear| linear.weight.val().grad(&gradients).unwrap().into_data())
            .collect::<Vec<_>>()
    };
    let (ids, padding) = ids(&batch);
    let hidden = decoder.hidden_states(ids, &padding, None).unwrap();
    let expected = loss_of(&decoder, hidden, &batch);
    let found = LanguageModelling::default().loss(&decoder, &batch);
    assert_alike("loss", &found.to_data(), &expected.to_data());
    let pairs = gradients(&found).into_iter().zip(gradients(&expected));
    for (number, (found, expected)) in pairs.enumerate() {
        assert_alike(&format!("weight {number}"), &found, &expected);
    }
    // Blocks that see little may be all there are.
    let narrow = LanguageModelling {
        local_blocks: 2,
        ..LanguageModelling::default()
    };
    let loss: f32 = narrow.loss(&decoder, &batch).into_scalar();
    assert!(loss.is_finite());
}
