//! The programs of `examples/`, as functions.

use std::fs;
use std::path::{Path, PathBuf};

use calm_lm::compose::LoadedModel;
use calm_lm::models::{LoadOptions, ModelSource, SequenceOptions, Session};

#[expect(dead_code, reason = "a program, whose main is not called")]
#[path = "../../../../examples/chrf.rs"]
mod chrf;
#[expect(dead_code, reason = "a program, whose main is not called")]
#[path = "../../../../examples/compose_and_train.rs"]
mod compose_and_train;
#[expect(dead_code, reason = "a program, whose main is not called")]
#[path = "../../../../examples/custom_objective.rs"]
mod custom_objective;
#[expect(dead_code, reason = "a program, whose main is not called")]
#[path = "../../../../examples/hidden_states.rs"]
mod hidden_states;

fn checkpoints() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/checkpoints")
}

#[test]
fn hidden_states_lead_to_the_token_that_decoding_gives() {
    let source = ModelSource::Path(checkpoints().join("kv-anchor"));
    let model = LoadedModel::load(&source, &LoadOptions::default())
        .unwrap()
        .model;
    let text = "2 + 3 =";
    let states = hidden_states::hidden_states(&model, text).unwrap();
    assert_eq!(states.len(), 7, "the embeddings, and six blocks");
    assert!(states.iter().all(|hidden| hidden.dims() == [1, 5, 128]));
    let next = hidden_states::next_token(&model, &states[6]).unwrap();
    let mut session = Session::new(&model.decoder).with_tokenizer(&model.tokenizer);
    session
        .add_text(text, &SequenceOptions::greedy(1, Vec::new()))
        .unwrap();
    let decoded = session.step().unwrap();
    assert_eq!(decoded[0].text.trim(), next.trim());
}

/// Of sacreBLEU 2.6: `corpus_chrf` with no and two words, and `corpus_bleu`.
const SCORES: [f64; 3] = [65.7990944131762, 64.84841807904448, 36.59624246175246];

#[test]
fn scores_are_those_of_sacrebleu() {
    let directory = tempfile::tempdir().unwrap();
    let [hypotheses, references] = ["h.txt", "r.txt"].map(|name| directory.path().join(name));
    let text =
        "The bridge over the river is old.\nThree trains left before noon,\nit rained all night.\n";
    fs::write(&hypotheses, text).unwrap();
    let text = "The bridge across the river is very old.\nThree trains left before noon.\nIt rained \
                the whole night.\n";
    fs::write(&references, text).unwrap();
    let scores = chrf::scores(&hypotheses, &references).unwrap();
    for ((name, found), expected) in scores.into_iter().zip(SCORES) {
        assert!((found - expected).abs() < 1e-9, "{name}: {found}");
    }
    let missing = directory.path().join("nowhere");
    assert!(chrf::scores(&missing, &references).is_err());
}

#[test]
fn a_composition_is_trained_saved_and_opened() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("composition");
    let losses = compose_and_train::train(&checkpoints(), 4, &out).unwrap();
    assert!(
        losses.len() == 4 && losses.iter().all(|loss| loss.is_finite()),
        "{losses:?}"
    );
    let text = compose_and_train::generate(&out, "2 + 3 =").unwrap();
    assert!(!text.trim().is_empty());
}

#[test]
fn an_objective_of_ones_own_has_its_price() {
    let sizes = [0.0, 1000.0].map(|price| {
        let mut composition = custom_objective::joined(&checkpoints()).unwrap();
        custom_objective::train(&mut composition, 6, price).unwrap()
    });
    assert!(sizes[1] > 0.0 && sizes[1] < sizes[0], "{sizes:?}");
}
