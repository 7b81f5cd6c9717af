//! A checkpoint described without loading it is the one that would be loaded.

use std::fs;

use crate::common::{FIXTURES, fixture, load};
use burn::module::Module;
use calm_models::{CheckpointInfo, ModelError, Part, Strictness};

#[test]
fn what_is_described_is_what_is_loaded() {
    for name in FIXTURES {
        let info = CheckpointInfo::read(&fixture(name), Strictness::Strict).unwrap();
        let model = load(name);
        assert_eq!(&info.config, model.config());
        assert_eq!(info.parameters(), model.decoder.num_params());
        assert_eq!(info.config.parameter_count(), info.parameters());
        assert_eq!(info.special, model.special);
        assert_eq!(info.weights_sha256, model.weights_sha256().unwrap());
        let file = fixture(name).join("model.safetensors");
        assert_eq!(info.weight_bytes(), fs::metadata(file).unwrap().len());
    }
}

#[test]
fn every_tensor_has_its_place_and_its_part() {
    let info = |name| CheckpointInfo::read(&fixture(name), Strictness::Strict).unwrap();
    let (llama, tied, phi3) = (
        info("llama"),
        info("llama3-scaled-tied"),
        info("phi3-longrope"),
    );
    assert_eq!(
        (llama.stored_as(None), tied.stored_as(Some(0))),
        (vec!["F32"], vec!["BF16"])
    );
    let counts = |info: &CheckpointInfo| Part::ALL.map(|part| info.parameters_of(part));
    let (d_model, d_ff, vocab, blocks) = (32, 40, 80, 3);
    let attention = blocks * d_model * (32 + 16 + 16 + 32);
    let feed_forward = blocks * 3 * d_model * d_ff;
    let norms = (2 * blocks + 1) * d_model;
    assert_eq!(
        counts(&llama),
        [
            vocab * d_model,
            attention,
            feed_forward,
            norms,
            vocab * d_model
        ]
    );
    assert_eq!(tied.parameters_of(Part::Head), 0);
    // Fused projections are of one part.
    assert!(phi3.tensors.iter().all(|tensor| tensor.part.is_some()));
    assert_eq!(llama.tensors[0].name, "lm_head.weight");
    assert_eq!(llama.tensors[0].part, Some(Part::Head));
}

#[test]
fn weights_of_another_model_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |from: &str, name: &str| {
        fs::copy(fixture(from).join(name), dir.path().join(name)).unwrap();
    };
    copy("llama", "config.json");
    copy("llama3-scaled-tied", "model.safetensors");
    let error = CheckpointInfo::read(dir.path(), Strictness::Strict).unwrap_err();
    assert!(matches!(error, ModelError::Weights { .. }), "{error}");
}
