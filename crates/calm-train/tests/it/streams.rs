//! Training where the augmenting model reads in tokens of its own.

use crate::common::train;
use burn::tensor::{Device, Tensor};
use calm_compose::{Bridges, FrozenParts, RowTokens};
use calm_data::{Batch, Batches, TokenizedExample};
use calm_testing::{model, tokenizer};
use calm_train::{BridgeTraining, Objective, calibrate, read_examples};

/// An anchor of bytes and pieces of words, and a model of letters that it reads; and examples.
fn parts_and_examples() -> (FrozenParts, Vec<TokenizedExample>) {
    let (anchor, augmenting) = (
        model(tokenizer("byte-level"), [16, 3, 2], 1),
        model(tokenizer("byte-fallback"), [12, 2, 2], 1),
    );
    let connections = vec![[1, 1].into(), [2, 2].into()];
    let parts = FrozenParts::join(&anchor, [(&augmenting, connections)]).unwrap();
    let texts = [
        "the anchor",
        "one two, naïve 🙂",
        "日本語 reads",
        "é",
        "two the one",
    ];
    let examples = texts.iter().map(|text| {
        let mut ids = anchor.tokenizer.encode(text, true).unwrap().ids;
        ids.push(2);
        TokenizedExample::new(ids, 2)
    });
    let examples = examples.collect();
    (parts, examples)
}

fn bridges(parts: &FrozenParts) -> Bridges {
    let device = Device::default().autodiff();
    Bridges::init(&parts.bridge_sets(2), 1, &device).unwrap()
}

fn loss(objective: &impl Objective<Parameters = Bridges>, bridges: &Bridges, batch: &Batch) -> f64 {
    let loss: Tensor<1> = objective.loss(bridges, batch);
    f64::from(loss.into_scalar::<f32>())
}

#[test]
fn bridges_learn_from_models_with_other_tokenizers() {
    let (parts, examples) = parts_and_examples();
    let rows = read_examples(&parts, &examples).unwrap();
    let counts = rows.iter().map(RowTokens::node_counts);
    assert!(
        counts
            .into_iter()
            .all(|counts| counts[0].is_some_and(|n| n > 0))
    );
    let batches = Batches::new(examples.iter().cloned().collect(), 3, 0, 4);
    let fresh = calibrate(&parts, bridges(&parts), &batches.batch(0).unwrap()).unwrap();
    let objective = BridgeTraining::new(&parts).with_tokens(&rows);
    let data = move |number| Ok(batches.batch(number)?);
    let (trained, steps) = train(&objective, fresh, None, &data).unwrap();
    assert!(steps[19].loss < steps[0].loss);

    // What was worked out before is what is worked out on the way, and rows are as if alone.
    let numbered = || examples.iter().enumerate();
    let all = Batch::collate(numbered(), 0);
    let found = loss(&objective, &trained, &all);
    assert_eq!(found, loss(&parts, &trained, &all));
    let alone = numbered().map(|example| {
        let batch = Batch::collate([example], 0);
        loss(&objective, &trained, &batch)
    });
    assert!((found / alone.sum::<f64>() - 1.0).abs() < 1e-5);
    let frozen = loss(&objective, &bridges(&parts), &all);
    assert!(found < frozen, "{found} {frozen}");
}
