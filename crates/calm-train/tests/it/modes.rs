//! In training, the prompt of an encoder ends where the target begins, as it does in decoding.

use crate::common::{bridges, bridges_with, data, parts, train};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_compose::{ComposedCache, FrozenParts, Mode};
use calm_data::{Batch, TokenizedExample};
use calm_models::PaddingMask;
use calm_train::{BridgeTraining, Objective, read_examples};

fn examples() -> Vec<TokenizedExample> {
    let example = |ids: &[u32], target_start| TokenizedExample::new(ids.to_vec(), target_start);
    vec![
        example(&[1, 5, 3, 9, 2], 3),
        example(&[7, 4, 4, 8, 11, 6, 2], 2),
        example(&[3, 2], 1),
    ]
}

fn row(ids: &[u32]) -> (Tensor<2, Int>, PaddingMask) {
    let shape = [1, ids.len()];
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let ids = Tensor::from_data(TensorData::new(ids, shape), &Device::default());
    (ids, PaddingMask::none(1, shape[1]))
}

/// The loss of a target that is decoded token by token behind its prompt.
fn decoded(
    parts: &FrozenParts,
    bridges: &calm_compose::Bridges,
    example: &TokenizedExample,
) -> f64 {
    let (prompt, target) = example.ids.split_at(example.target_start);
    let mut cache = ComposedCache::new(parts, 1);
    let mut loss = 0.0;
    let mut read = prompt.to_vec();
    for next in target {
        let (ids, padding) = row(&read);
        let hidden = parts.hidden_states(bridges, ids, &padding, Some(&mut cache));
        let last = hidden.unwrap().narrow(1, read.len() - 1, 1);
        let logits: Vec<f32> = parts.anchor.finish(last).try_into_vec_as().unwrap();
        let sum: f64 = logits.iter().map(|x| f64::from(*x).exp()).sum();
        loss += sum.ln() - f64::from(logits[*next as usize]);
        read = vec![*next];
    }
    loss
}

#[test]
fn the_loss_is_that_of_cached_decoding() {
    let trained = train(&parts(), bridges(1), None, &data()).unwrap().0;
    let plain = trained.valid();
    let examples = examples();
    let batch = Batch::collate(examples.iter().enumerate(), 0);
    let losses = [Mode::Encoder, Mode::Iterative].map(|mode| {
        let parts = parts().in_mode(mode);
        let loss = |objective: &BridgeTraining<'_>| {
            f64::from(objective.loss(&plain, &batch).into_scalar::<f32>())
        };
        let found = loss(&BridgeTraining::new(&parts));
        let decoded = examples
            .iter()
            .map(|example| decoded(&parts, &plain, example));
        let decoded: f64 = decoded.sum();
        assert!((found / decoded - 1.0).abs() < 1e-5, "{found} {decoded}");
        let rows = read_examples(&parts, &examples).unwrap();
        assert_eq!(loss(&BridgeTraining::new(&parts).with_tokens(&rows)), found);
        found
    });
    assert!((losses[0] / losses[1] - 1.0).abs() > 1e-4, "{losses:?}");
}

#[test]
fn bridges_of_an_encoder_learn() {
    let parts = parts().in_mode(Mode::Encoder);
    let fresh = bridges_with(Default::default(), 1);
    let (_, steps) = train(&parts, fresh, None, &data()).unwrap();
    assert!(steps[19].loss < steps[0].loss);
}
