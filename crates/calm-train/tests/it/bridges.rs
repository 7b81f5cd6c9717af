//! Bridges between models that are loaded already.

use std::ops::ControlFlow;

use calm_backend::FloatType;
use calm_compose::{Composition, CompositionConfig, LoadedModel};
use calm_data::{Batches, TokenizedExample};
use calm_models::{LoadOptions, ModelSource, Tokenizer};
use calm_testing::{bits, model, tokenizer, words};
use calm_train::runs::{ActivationConfig, BridgeTrainingConfig, RunEvent, train_bridges};
use calm_train::{TrainConfig, TrainError};
use tempfile::TempDir;

/// An anchor of bytes and pieces of words, and a model that reads it in these tokens.
fn composition(dir: &TempDir, augmenting: Tokenizer) -> Composition {
    let load = |tokenizer, blocks| {
        let path = dir.path().join(format!("{blocks}"));
        let model = model(tokenizer, [16, blocks, 2], 1);
        model.save(&path, FloatType::F32).unwrap();
        LoadedModel::load(&ModelSource::Path(path), &LoadOptions::default()).unwrap()
    };
    let anchor = load(tokenizer("byte-level"), 3);
    let augmenting = vec![(load(augmenting, 2), "every:1".parse().unwrap())];
    Composition::new(anchor, augmenting, &CompositionConfig::default(), 1).unwrap()
}

/// Two batches.
fn batches(composition: &Composition) -> Batches {
    let texts = [
        "one two",
        "the one",
        "the anchor reads",
        "two the one, the anchor",
    ];
    let examples = texts.iter().map(|text| {
        let mut ids = composition.tokenizer().encode(text, true).unwrap().ids;
        ids.push(2);
        TokenizedExample::new(ids, 2)
    });
    Batches::new(examples.collect(), 2, 0, 1)
}

fn trained(
    composition: &Composition,
    activations: ActivationConfig,
) -> Result<Composition, TrainError> {
    let config = BridgeTrainingConfig {
        train: TrainConfig::default().with_steps(6),
        noise: 0.1,
        activations,
        ..BridgeTrainingConfig::default()
    };
    let batches = batches(composition);
    let mut observer = |_: RunEvent<'_>| ControlFlow::Continue(());
    train_bridges(
        "words",
        composition.clone(),
        &batches,
        &config,
        None,
        &mut observer,
    )
}

#[test]
fn states_that_are_kept_change_no_bit_of_the_bridges() {
    let dir = tempfile::tempdir().unwrap();
    let composition = composition(&dir, tokenizer("byte-fallback"));
    let bits = |trained: Composition| bits(&trained.model.bridges);
    let plain = bits(trained(&composition, ActivationConfig::off()).unwrap());
    assert_ne!(plain, bits(composition.clone()));
    let cached = trained(&composition, ActivationConfig::default());
    assert_eq!(bits(cached.unwrap()), plain);
    let cache = dir.path().join("cache");
    let in_files = ActivationConfig {
        activation_cache: cache.display().to_string(),
        ..ActivationConfig::default()
    };
    // The second finds the states of the first.
    for _ in 0..2 {
        assert_eq!(
            bits(trained(&composition, in_files.clone()).unwrap()),
            plain
        );
        assert_eq!(cache.read_dir().unwrap().count(), 1);
    }
}

#[test]
fn a_text_that_an_augmenting_model_cannot_read_is_an_error_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    // It has no token for "reads", and none for what it has no token for.
    let words = words(&["the", "one", "two", "anchor", ","], "none");
    let composition = composition(&dir, words);
    let error = trained(&composition, ActivationConfig::off())
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, TrainError::Model(_)), "{error:?}");
}
