//! A checkpoint described without loading it is the one that would be loaded.

mod common;

use std::fs;

use burn::module::Module;
use calm_models::{CheckpointInfo, ModelError};
use common::{FIXTURES, fixture, load};

#[test]
fn what_is_described_is_what_is_loaded() {
    for name in FIXTURES {
        let info = CheckpointInfo::read(&fixture(name)).unwrap();
        let model = load(name);
        assert_eq!(&info.config, model.config());
        assert_eq!(info.parameters, model.decoder.num_params());
        assert_eq!(info.weights_sha256, model.weights_sha256().unwrap());
        let file = fixture(name).join("model.safetensors");
        assert_eq!(info.weight_bytes, fs::metadata(file).unwrap().len());
    }
    let stored = |name| CheckpointInfo::read(&fixture(name)).unwrap().stored_as;
    assert_eq!(
        (stored("llama"), stored("llama3-scaled-tied")),
        (vec!["F32".into()], vec!["BF16".into()])
    );
}

#[test]
fn weights_of_another_model_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |from: &str, name: &str| {
        fs::copy(fixture(from).join(name), dir.path().join(name)).unwrap();
    };
    copy("llama", "config.json");
    copy("llama3-scaled-tied", "model.safetensors");
    let error = CheckpointInfo::read(dir.path()).unwrap_err();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
}
