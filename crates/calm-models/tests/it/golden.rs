//! Against values computed by `transformers`; see `fixtures/README.md`.

use std::fs;

use crate::common::{FIXTURES, fixture, halves};
use calm_backend::FloatType;
use calm_models::{Decoder, FrozenModel, LoadOptions, ModelError, verify};

#[test]
fn hidden_states_logits_and_greedy_tokens_are_those_of_transformers() {
    for name in FIXTURES {
        let verification = verify(&fixture(name), &LoadOptions::default()).unwrap();
        assert!(verification.is_within(1e-5), "{name}: {verification:?}");
        assert_eq!(
            verification.deviations.len(),
            5,
            "three blocks, their input, and the logits"
        );
        assert_eq!(verification.greedy.tokens, 12);
    }
}

#[test]
fn half_precision_is_close_but_not_exact() {
    for dtype in halves() {
        let options = LoadOptions {
            dtype: FloatType::into(dtype),
            ..LoadOptions::default()
        };
        let verification = verify(&fixture("llama"), &options).unwrap();
        for deviation in verification.deviations {
            assert!(
                deviation.relative > 1e-5,
                "{dtype} {deviation:?}: computed in f32?"
            );
            assert!(deviation.relative < 3e-2, "{dtype} {deviation:?}");
        }
    }
}

#[test]
fn other_weights_are_found_out() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "expected.safetensors"] {
        fs::copy(fixture("llama").join(name), dir.path().join(name)).unwrap();
    }
    let mut weights = fs::read(fixture("llama").join("model.safetensors")).unwrap();
    let last = weights.len() - 1;
    weights[last] ^= 0x80; // The sign of the last number.
    fs::write(dir.path().join("model.safetensors"), weights).unwrap();
    let verification = verify(dir.path(), &LoadOptions::default()).unwrap();
    assert!(!verification.is_within(1e-4), "{verification:?}");
}

#[test]
fn expectations_longer_than_the_learnt_positions() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "tokenizer.json",
        "model.safetensors",
        "expected.safetensors",
    ] {
        fs::copy(fixture("gpt2").join(name), dir.path().join(name)).unwrap();
    }
    let config = fs::read_to_string(fixture("gpt2").join("config.json")).unwrap();
    // The files hold 128 positions, so this fails before anything is computed.
    let config = config.replace("\"n_positions\": 128", "\"n_positions\": 10");
    fs::write(dir.path().join("config.json"), config).unwrap();
    let error = verify(dir.path(), &LoadOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("wpe.weight has shape [128, 12]"),
        "{error}"
    );
    // Of a decoder that fits, the continuation ends with the positions.
    let model = FrozenModel::load(&fixture("gpt2"), &LoadOptions::default()).unwrap();
    let mut config = model.config().clone();
    config.context_length = 15;
    let decoder = Decoder::untrained(&config, 0, &Default::default());
    FrozenModel::new(decoder, model.tokenizer)
        .save(dir.path(), FloatType::F32)
        .unwrap();
    let verification = verify(dir.path(), &LoadOptions::default()).unwrap();
    assert!(verification.greedy.uncached_differs_at.is_some());
}

#[test]
fn incomplete_expectations_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(fixture("llama").join(name), dir.path().join(name)).unwrap();
    }
    let weights = fixture("llama").join("model.safetensors");
    fs::copy(weights, dir.path().join("expected.safetensors")).unwrap();
    let error = verify(dir.path(), &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, ModelError::Fixture { .. }), "{error}");
    assert!(
        error.to_string().ends_with("tensor input_ids is missing"),
        "{error}"
    );
}
