//! States that are kept are the states that would be computed.

use std::fs;
use std::path::Path;

use crate::common::{bits, bridges, parts, train};
use burn::module::Module;
use burn::optim::GradientsParams;
use calm_backend::FloatType;
use calm_compose::{FrozenParts, Mode, RowTokens, Text};
use calm_data::{Batches, TokenizedExample};
use calm_train::{
    ActivationCache, ActivationPlace, ActivationPlan, BridgeTraining, Objective, StepMetrics,
    TrainError, read_examples,
};
use serde_json::json;

/// Of many lengths, so that batches are padded, and more than one epoch has of batches.
fn examples() -> Vec<TokenizedExample> {
    let example = |number: u32| {
        TokenizedExample::new(
            (0..4 + number * number % 19)
                .map(|place| 1 + (number * 7 + place * place) % 15)
                .collect(),
            2,
        )
    };
    (0..11).map(example).collect()
}

struct Data {
    examples: Vec<TokenizedExample>,
    rows: Vec<RowTokens>,
}

impl Data {
    fn of(parts: &FrozenParts) -> Self {
        let examples = examples();
        let rows = read_examples(parts, &examples).unwrap();
        Self { examples, rows }
    }

    fn texts(&self) -> Vec<Text<'_>> {
        let examples = self.examples.iter().zip(&self.rows);
        let text = |(example, tokens): (&'_ TokenizedExample, _)| (example.target_start, tokens);
        examples
            .map(|pair| {
                let (prompt, tokens) = text(pair);
                let ids = pair.0.inputs();
                Text {
                    ids,
                    anchor_ids: ids,
                    prompt,
                    tokens,
                }
            })
            .collect()
    }

    fn cache(
        &self,
        parts: &FrozenParts,
        place: &ActivationPlace,
        dtype: FloatType,
        budget: u64,
    ) -> ActivationCache {
        let mut plan = ActivationPlan::new(parts, &json!("models"), dtype);
        self.texts().iter().for_each(|text| plan.add(text));
        plan.open(place, budget).unwrap()
    }
}

/// The bits of the bridges and of every loss after some epochs.
fn outcome(
    objective: &BridgeTraining<'_>,
    examples: &[TokenizedExample],
) -> (Vec<Vec<u32>>, Vec<u32>) {
    let batches = Batches::new(examples.iter().cloned().collect(), 3, 0, 4);
    let data = |number| Ok(batches.batch(number)?);
    let (trained, steps): (_, Vec<StepMetrics>) =
        train(objective, bridges(1), None, &data).unwrap();
    let losses = steps.iter().map(|step| step.loss.to_bits()).collect();
    (bits(&trained.valid()), losses)
}

#[test]
fn runs_with_and_without_a_cache_are_the_same_bit_for_bit() {
    for mode in [Mode::Iterative, Mode::Encoder] {
        let parts = parts().in_mode(mode);
        let data = Data::of(&parts);
        let objective = BridgeTraining::new(&parts)
            .with_tokens(&data.rows)
            .with_noise(0.1);
        let expected = outcome(&objective, &data.examples);
        let directory = tempfile::tempdir().unwrap();
        let file = ActivationPlace::Directory(directory.path().to_owned());
        let all = u64::MAX;
        let places = [&ActivationPlace::Memory, &file, &file];
        for (place, budget) in places.into_iter().zip([all, 4000, all]) {
            let cache = data.cache(&parts, place, FloatType::F32, budget);
            let found = outcome(&objective.with_cache(&cache), &data.examples);
            assert!(found == expected, "{mode:?} {place:?} {budget}");
            let statistics = cache.statistics();
            assert!(statistics.reused > 0, "{statistics:?}");
            assert!(statistics.kept_bytes <= budget);
        }
        // What a run before has left serves this one.
        let cache = data.cache(&parts, &file, FloatType::F32, all);
        assert!(outcome(&objective.with_cache(&cache), &data.examples) == expected);
        assert_eq!(cache.statistics().computed, 0);
        assert_eq!(cache.statistics().damaged, 0);

        // The halves are something else, and yet close.
        let cache = data.cache(&parts, &ActivationPlace::Memory, FloatType::BF16, all);
        let (_, losses) = outcome(&objective.with_cache(&cache), &data.examples);
        assert_ne!(losses, expected.1);
        for (loss, exact) in losses.iter().zip(&expected.1) {
            let [loss, exact] = [loss, exact].map(|bits| f32::from_bits(*bits));
            assert!((loss / exact - 1.0).abs() < 1e-2, "{loss} {exact}");
        }
    }
}

fn only_file(directory: &Path) -> std::path::PathBuf {
    let mut files = fs::read_dir(directory).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

#[test]
fn damaged_states_are_found_and_computed_anew() {
    let parts = parts();
    let data = Data::of(&parts);
    let objective = BridgeTraining::new(&parts).with_tokens(&data.rows);
    let expected = outcome(&objective, &data.examples);
    let directory = tempfile::tempdir().unwrap();
    let place = ActivationPlace::Directory(directory.path().to_owned());
    let run = || {
        let cache = data.cache(&parts, &place, FloatType::F32, u64::MAX);
        assert!(outcome(&objective.with_cache(&cache), &data.examples) == expected);
        cache.statistics()
    };
    run();
    let path = only_file(directory.path());
    let whole = fs::read(&path).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let statistics = run();
        assert!(statistics.computed > 0, "{place}: {statistics:?}");
        assert_eq!(run().computed, 0, "mended");
    }
    for length in [0, 10, 70, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(run().computed > 0, "cut to {length}");
        assert_eq!(run().computed, 0, "mended");
    }
}

#[test]
fn states_of_anything_else_are_not_read() {
    let parts = parts();
    let data = Data::of(&parts);
    let directory = tempfile::tempdir().unwrap();
    let place = ActivationPlace::Directory(directory.path().to_owned());
    let open = |parts: &FrozenParts, models: &str, dtype, examples: usize| {
        let mut plan = ActivationPlan::new(parts, &json!(models), dtype);
        data.texts()[..examples]
            .iter()
            .for_each(|text| plan.add(text));
        plan.open(&place, u64::MAX).unwrap();
        fs::read_dir(directory.path()).unwrap().count()
    };
    let mut connected = parts.clone();
    connected.augmenting[0].connections[0].anchor_block = 3;
    assert_eq!(open(&parts, "one", FloatType::F32, 11), 1);
    assert_eq!(open(&parts, "one", FloatType::F32, 11), 1, "the same again");
    assert_eq!(open(&parts, "other", FloatType::F32, 11), 2);
    assert_eq!(open(&parts, "one", FloatType::F16, 11), 3);
    assert_eq!(open(&parts, "one", FloatType::F32, 10), 4);
    assert_eq!(open(&connected, "one", FloatType::F32, 11), 5);
    let encoder = parts.in_mode(Mode::Encoder);
    assert_eq!(open(&encoder, "one", FloatType::F32, 11), 6);
}

#[test]
fn a_place_that_cannot_be_written_to_is_an_error() {
    let parts = parts();
    let file = tempfile::NamedTempFile::new().unwrap();
    let place = ActivationPlace::Directory(file.path().join("within"));
    let plan = ActivationPlan::new(&parts, &json!(null), FloatType::F32);
    let error = plan.open(&place, 0).unwrap_err();
    assert!(matches!(error, TrainError::Io { .. }), "{error}");
}

fn of(gradients: &GradientsParams, parameters: &calm_compose::Bridges) -> Vec<f64> {
    let mut values = Vec::new();
    for bridge in parameters.of.iter().flatten() {
        for linear in [
            &bridge.projection,
            &bridge.query,
            &bridge.value,
            &bridge.output,
        ] {
            let gradient = gradients.get::<2>(linear.weight.id).unwrap();
            values.extend(gradient.into_data().iter::<f64>());
        }
    }
    values
}

/// Block by block, and as one graph as [`Objective::loss`] records it.
#[test]
fn checkpointing_changes_no_gradient() {
    let parts = parts();
    let data = Data::of(&parts);
    let (trained, _) = train(&parts, bridges(1), None, &crate::common::data()).unwrap();
    let batch = calm_data::Batch::collate(data.examples.iter().enumerate(), 0);
    let objective = BridgeTraining::new(&parts).with_tokens(&data.rows);
    let whole = objective.loss(&trained, &batch);
    let expected = GradientsParams::from_grads(whole.backward(), &trained);
    let expected = (
        f64::from(whole.into_scalar::<f32>()),
        of(&expected, &trained),
    );
    for objective in [objective, objective.with_checkpointing(true)] {
        let (loss, gradients) = objective.gradients(&trained, &batch);
        assert!(
            (loss / expected.0 - 1.0).abs() < 1e-6,
            "{loss} {}",
            expected.0
        );
        let found = of(&gradients, &trained);
        let distance: f64 = found
            .iter()
            .zip(&expected.1)
            .map(|(a, b)| (a - b).powi(2))
            .sum();
        let norm: f64 = expected.1.iter().map(|x| x.powi(2)).sum();
        assert!(
            norm > 0.0 && (distance / norm).sqrt() < 1e-5,
            "{distance} {norm}"
        );
    }
}
