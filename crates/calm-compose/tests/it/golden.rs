//! Against values computed by PyTorch; see `fixtures/README.md`.

use std::fs;
use std::path::Path;

use crate::common::fixtures;
use calm_backend::FloatType;
use calm_compose::{ComposeError, verify};
use calm_models::LoadOptions;

/// With the number of parameters of all bridges.
const COMPOSITIONS: [(&str, usize); 5] = [
    ("llama-reads-llama3", 12),
    ("llama3-reads-llama", 12),
    ("llama-reads-both", 18),
    ("llama-reads-llama3-through-norms", 42),
    ("llama3-reads-llama-through-head-gates", 18),
];

#[test]
fn logits_loss_and_every_gradient_are_those_of_pytorch() {
    for (name, parameters) in COMPOSITIONS {
        let directory = fixtures().join("compositions").join(name);
        let checkpoints = fixtures().join("checkpoints");
        let verification = verify(&directory, &checkpoints, &LoadOptions::default()).unwrap();
        assert!(verification.is_within(1e-4), "{name}: {verification:?}");
        assert_eq!(
            verification.deviations.len(),
            2 + parameters,
            "{name}: logits, loss, and every parameter"
        );
    }
}

/// A copy of the first composition that may be changed.
fn copy() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let from = fixtures().join("compositions").join(COMPOSITIONS[0].0);
    for name in [
        "bridge.safetensors",
        "composition.json",
        "expected.safetensors",
    ] {
        fs::copy(from.join(name), directory.path().join(name)).unwrap();
    }
    directory
}

fn replace(directory: &Path, name: &str, from: &str, to: &str) {
    let path = directory.join(name);
    let text = fs::read(&path).unwrap();
    let at = text.windows(from.len()).position(|w| w == from.as_bytes());
    let at = at.unwrap();
    let changed = [&text[..at], to.as_bytes(), &text[at + from.len()..]].concat();
    fs::write(path, changed).unwrap();
}

fn verify_copy(directory: &Path) -> Result<calm_compose::Verification, ComposeError> {
    verify(
        directory,
        &fixtures().join("checkpoints"),
        &LoadOptions::default(),
    )
}

#[test]
fn models_in_half_precision_are_near_those_values() {
    let options = LoadOptions {
        dtype: FloatType::BF16.into(),
        ..LoadOptions::default()
    };
    let directory = fixtures().join("compositions").join(COMPOSITIONS[0].0);
    let verification = verify(&directory, &fixtures().join("checkpoints"), &options).unwrap();
    let logits = &verification.deviations[0];
    assert!((1e-4..3e-2).contains(&logits.relative), "{logits:?}");
}

#[test]
fn another_head_count_is_found_out() {
    let directory = copy();
    replace(
        directory.path(),
        "composition.json",
        "\"heads\": 4",
        "\"heads\": 2",
    );
    assert!(!verify_copy(directory.path()).unwrap().is_within(1e-2));
}

#[test]
fn another_connection_is_found_out() {
    let directory = copy();
    replace(
        directory.path(),
        "composition.json",
        "2,\n        1",
        "2,\n        2",
    );
    assert!(!verify_copy(directory.path()).unwrap().is_within(1e-2));
}

#[test]
fn unusable_expectations_are_named() {
    let message = |file: &str, from: &str, to: &str| {
        let directory = copy();
        replace(directory.path(), file, from, to);
        verify_copy(directory.path()).unwrap_err().to_string()
    };
    let tensors = "expected.safetensors";
    let renamed = message(tensors, "grad.a0.c1.q.weight", "grad.a0.c9.q.weight");
    assert!(
        renamed.contains("grad.a0.c1.q.weight is missing; grad.a0.c9.q.weight is not part"),
        "{renamed}"
    );
    let typed = message(tensors, "\"I64\"", "\"F64\"");
    assert!(typed.contains("is F64, expected I64"), "{typed}");
    let description = "composition.json";
    let heads = message(description, "\"heads\": 4", "\"heads\": 3");
    assert!(heads.contains("3 heads do not divide"), "{heads}");
    let model = message(description, "\"llama3-scaled-tied\"", "\"absent\"");
    assert!(model.contains("absent"), "{model}");
    let count = message(
        description,
        "\"augmenting\": [",
        "\"augmenting\": [{\"path\": \"llama\", \"weights_sha256\": \"\"},",
    );
    assert!(count.contains("differ in length"), "{count}");
    let range = message(description, "[\n        2,", "[\n        7,");
    assert!(range.contains("[7, 1] is out of range"), "{range}");
}
