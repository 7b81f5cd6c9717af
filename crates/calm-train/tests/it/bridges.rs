//! Bridges between models that are loaded already.

use std::ops::ControlFlow;
use std::sync::Arc;

use calm_backend::FloatType;
use calm_compose::{Composition, CompositionConfig, LoadedModel};
use calm_data::{Batches, Masking, MaskingShares, Placeholders, TokenizedExample, Word};
use calm_models::{LoadOptions, ModelSource, Tokenizer};
use calm_testing::{bits, model, tokenizer, words};
use calm_train::runs::{ActivationConfig, BridgeTrainingConfig, RunEvent, train_bridges};
use calm_train::{AnchorMasking, TrainConfig, TrainError};
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
        let first = Word {
            start: 0,
            end: 2,
            may_be_hidden: true,
        };
        TokenizedExample {
            words: vec![first],
            ..TokenizedExample::new(ids, 2)
        }
    });
    Batches::new(examples.collect(), 2, 0, 1)
}

fn trained(
    composition: &Composition,
    activations: ActivationConfig,
) -> Result<Composition, TrainError> {
    trained_by(composition, activations, None)
}

/// Trained with this share of the words hidden from the augmenting model, and half from the anchor.
fn masked(
    composition: &Composition,
    activations: ActivationConfig,
    augmenting: f64,
) -> Result<Composition, TrainError> {
    let placeholders = Placeholders::new([vec![7], vec![8]]).unwrap();
    let masking = AnchorMasking {
        masking: Arc::new(Masking::new(placeholders, 1)),
        shares: MaskingShares {
            anchor: 0.5,
            augmenting,
        },
        decay: 0.5,
    };
    trained_by(composition, activations, Some(masking))
}

fn trained_by(
    composition: &Composition,
    activations: ActivationConfig,
    masking: Option<AnchorMasking>,
) -> Result<Composition, TrainError> {
    let config = BridgeTrainingConfig {
        train: TrainConfig::default().with_steps(6),
        noise: 0.1,
        masking,
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
fn words_are_hidden_also_where_states_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let composition = composition(&dir, tokenizer("byte-level"));
    let bits_of = |trained: Result<Composition, TrainError>| bits(&trained.unwrap().model.bridges);
    let unmasked = bits_of(trained(&composition, ActivationConfig::off()));
    let from_anchor = bits_of(masked(&composition, ActivationConfig::off(), 0.0));
    let from_both = bits_of(masked(&composition, ActivationConfig::off(), 0.5));
    assert_ne!(from_anchor, unmasked);
    assert_ne!(from_both, from_anchor);
    for (share, expected) in [(0.0, from_anchor), (0.5, from_both)] {
        let cached = masked(&composition, ActivationConfig::default(), share);
        assert_eq!(bits_of(cached), expected);
    }
}

#[test]
fn words_are_hidden_only_from_models_that_read_the_anchors_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let composition = composition(&dir, tokenizer("byte-fallback"));
    assert!(masked(&composition, ActivationConfig::off(), 0.0).is_ok());
    let error = masked(&composition, ActivationConfig::off(), 0.5).map(drop);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("mask-augmenting") && error.contains("tokenizer of its own"),
        "{error}"
    );
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
