//! Files of a key-value dataset, read without its types.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use calm_data::DataError;
use calm_data::kv::{Example, KeyPool, KvConfig, KvDataset, KvSizes, KvTask, build};
use serde_json::Value;

const SIZES: KvSizes = KvSizes {
    all: 300,
    held_in: 300,
    held_out: 300,
    mixture: None,
    masked: false,
};

/// The paper's settings with fewer pairs: all operators, up to six operands.
fn dataset() -> KvDataset {
    KvDataset::new(KvConfig {
        pairs: 400,
        seed: 11,
        ..KvConfig::default()
    })
    .unwrap()
}

fn read_lines(directory: &Path, task: KvTask, pool: KeyPool) -> Vec<Value> {
    let name = format!("{}.{}.jsonl", task.name(), pool.name());
    let text = fs::read_to_string(directory.join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Words of all prompts and targets that are not operators.
fn operands(lines: &[Value]) -> HashSet<&str> {
    lines
        .iter()
        .flat_map(|line| [&line["prompt"], &line["target"]])
        .flat_map(|text| text.as_str().unwrap().split(' '))
        .filter(|word| !["+", "-", "×", "=", ":"].contains(word))
        .collect()
}

#[test]
fn no_held_out_key_or_value_is_in_the_composition_s_files() {
    let dataset = dataset();
    let directory = tempfile::tempdir().unwrap();
    build(&dataset, SIZES, directory.path()).unwrap();
    let description = fs::read(directory.path().join("kv.json")).unwrap();
    let description: Value = serde_json::from_slice(&description).unwrap();
    let pairs = description["pairs"].as_object().unwrap();
    let held_in = description["held_in_keys"].as_u64().unwrap() as usize;
    assert_eq!((pairs.len(), held_in), (400, 80));

    let lines = |pool| read_lines(directory.path(), KvTask::KvSubstitution, pool);
    let (train, test) = (lines(KeyPool::HeldIn), lines(KeyPool::HeldOut));
    let (train, test) = (operands(&train), operands(&test));
    for (position, (key, value)) in pairs.iter().enumerate() {
        let other_side = if position < held_in { &test } else { &train };
        assert!(
            !other_side.contains(key.as_str()),
            "{key} crossed the split"
        );
        assert!(
            !other_side.contains(value.to_string().as_str()),
            "{value} crossed the split"
        );
    }
    assert_eq!(train.len(), 160, "every held-in key and value is used");
}

#[test]
fn every_line_can_be_computed_again_from_its_text() {
    let dataset = dataset();
    let directory = tempfile::tempdir().unwrap();
    build(&dataset, SIZES, directory.path()).unwrap();
    for line in read_lines(directory.path(), KvTask::NumericArithmetic, KeyPool::All) {
        assert_eq!(
            (line["schema"].as_u64(), line["builder_version"].as_u64()),
            (Some(1), Some(1))
        );
        let prompt = line["prompt"].as_str().unwrap();
        let value = evaluate(prompt.strip_suffix(" =").unwrap());
        assert_eq!(
            dataset.answer(line["target"].as_str().unwrap()),
            Some(value),
            "{prompt}"
        );
    }
}

/// Evaluates sums of differences of products, in another way than the library.
fn evaluate(expression: &str) -> i128 {
    let product = |factors: &str| -> i128 {
        factors
            .split(" × ")
            .map(|factor| factor.parse::<i128>().unwrap())
            .product()
    };
    let difference = |terms: &str| -> i128 {
        let mut terms = terms.split(" - ").map(product);
        let first = terms.next().unwrap();
        first - terms.sum::<i128>()
    };
    expression.split(" + ").map(difference).sum()
}

#[test]
fn lines_read_back_as_the_examples_they_were() {
    let dataset = dataset();
    let directory = tempfile::tempdir().unwrap();
    build(&dataset, SIZES, directory.path()).unwrap();
    let text = fs::read_to_string(directory.path().join("kv-arithmetic.held-out.jsonl")).unwrap();
    let mut largest = 0;
    for (index, line) in text.lines().enumerate() {
        let example: Example = serde_json::from_str(line).unwrap();
        let again = dataset.example(KvTask::KvArithmetic, KeyPool::HeldOut, index as u64);
        assert_eq!(example, again);
        largest = largest.max(example.value.unsigned_abs());
    }
    assert!(
        largest > u128::from(u64::MAX),
        "{largest}: no product was too large for 64 bits"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = build(&dataset(), SIZES, &file.join("kv")).unwrap_err();
    assert!(matches!(error, DataError::Io { .. }));
    assert!(error.to_string().contains("kv"), "{error}");
}
