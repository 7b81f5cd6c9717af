//! Tables of evaluations that stand in directories.

use std::fs;
use std::path::{Path, PathBuf};

use calm_eval::run::{Description, EvaluationDirectory, Results, Sample};
use calm_eval::tasks::TaskMetric;
use calm_experiments::table::{SystemKind, Table, TableError, TableOptions};
use serde_json::json;

use crate::tables::{answers, described};

/// Writes an evaluation of a model that is wrong in `wrong` of ten examples.
fn write(directory: &Path, model: &str, wrong: usize) -> (Description, Vec<Sample>) {
    let languages = &[("ne", 20), ("sw", 20)];
    let right = answers(move |index| index % 10 < wrong);
    let (mut description, samples) = described(model, TaskMetric::Chrf1, languages, right);
    if model.starts_with("both") {
        description.model = json!({"name": model, "bridges_sha256": model});
    }
    let mut run = EvaluationDirectory::open(directory, &description).unwrap();
    run.add(&samples).unwrap();
    let results = Results::of(&description, &samples, 0).unwrap();
    EvaluationDirectory::finish(directory, &results).unwrap();
    (description, samples)
}

fn table(directories: &[PathBuf]) -> Result<Table, TableError> {
    Table::of_runs(directories, &TableOptions::default())
}

fn refused(directories: &[PathBuf], expected: &[&str]) {
    let message = table(directories).unwrap_err().to_string();
    for expected in expected {
        assert!(message.contains(expected), "{message}");
    }
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn models_are_systems_and_directories_of_seeds_one() {
    let here = tempfile::tempdir().unwrap();
    let at = |path: &str| here.path().join(path);
    write(&at("m_b"), "m_b", 9);
    write(&at("both/seed-0"), "both-0", 1);
    write(&at("both/seed-1"), "both-1", 2);
    // The directory of all seeds, and one of them once more.
    let found = table(&[at("m_b"), at("both"), at("both/seed-1")]).unwrap();
    let both = at("both").display().to_string();
    let systems: Vec<_> = found
        .frame
        .systems
        .iter()
        .map(|s| (&*s.id, s.kind))
        .collect();
    assert_eq!(
        systems,
        [("m_b", SystemKind::Frozen), (&*both, SystemKind::Composed)]
    );
    assert_eq!(
        (&*found.frame.reference, &*found.frame.main),
        ("m_b", &*both)
    );
    let seeds: Vec<_> = found.cells[1].seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [Some(0), Some(1)]);
    // The task's own groups.
    let task = &found.frame.tasks[0];
    assert_eq!(
        (&*task.id, &task.language_groups["low"][..]),
        ("flores-v1", &["ne".to_owned()][..])
    );
    assert_eq!(found.contrasts.len(), 1);
    assert_eq!(found.contrasts[0].wins, [2, 0]);
    assert_eq!(found.samples.len(), 40);
    // As an experiment keeps them.
    write(&at("cells/1"), "m_A⊕B, seed 0", 1);
    write(&at("cells/2"), "m_A⊕B, seed 10", 2);
    write(&at("cells/3"), "m_B", 9);
    let cells = table(&[at("cells")]).unwrap();
    let systems: Vec<&str> = cells
        .frame
        .systems
        .iter()
        .map(|system| &*system.id)
        .collect();
    assert_eq!(
        (systems, cells.cells[0].seeds.len()),
        (vec!["m_A⊕B", "m_B"], 2)
    );
    // A single run is a table, too.
    let alone = table(&[at("m_b")]).unwrap();
    assert!(alone.contrasts.is_empty() && alone.frame.main == "m_b");
}

#[test]
fn directories_that_do_not_belong_together_are_refused_by_name() {
    let here = tempfile::tempdir().unwrap();
    let at = |path: &str| here.path().join(path);
    write(&at("m_b"), "m_b", 9);
    let (description, samples) = write(&at("other"), "other", 5);

    refused(&[at("nowhere")], &["nowhere: is no directory"]);
    fs::create_dir(at("empty")).unwrap();
    refused(
        &[at("m_b"), at("empty")],
        &["empty: holds neither an evaluation nor a trained model"],
    );

    let results = at("other/results.json");
    let text = fs::read_to_string(&results).unwrap();
    fs::remove_file(&results).unwrap();
    refused(
        &[at("m_b"), at("other")],
        &["other: this run was ended before its end"],
    );
    for (schema, expected) in [
        (
            text.replace("\"schema\": 1", "\"schema\": 9"),
            "results.json: has layout 9",
        ),
        (
            "{\"schema\": 2}".to_owned(),
            "results.json: has layout 2, and this program reads 1",
        ),
        ("{\"schema\": 1}".to_owned(), "results.json: missing field"),
        ("[".to_owned(), "results.json"),
    ] {
        fs::write(&results, schema).unwrap();
        refused(&[at("m_b"), at("other")], &[expected]);
    }
    fs::write(&results, &text).unwrap();
    table(&[at("m_b"), at("other")]).unwrap();

    // Another model of the same name; the same model twice.
    write(&at("again"), "m_b", 9);
    refused(
        &[at("m_b"), at("again")],
        &["m_b and ", "again: both are the system 'm_b'"],
    );
    let mut changed: Results = serde_json::from_str(&text).unwrap();
    changed.model = json!({"name": "m_b", "weights_sha256": "changed"});
    EvaluationDirectory::finish(&at("other"), &changed).unwrap();
    refused(
        &[at("m_b"), at("other")],
        &["both are of the model 'm_b'", "seed-0"],
    );

    // Other samples under the same task, and another task.
    let mut other = Results::of(&description, &samples, 0).unwrap();
    other.tasks[0].prompts_sha256 = "0".repeat(64);
    EvaluationDirectory::finish(&at("other"), &other).unwrap();
    refused(
        &[at("m_b"), at("other")],
        &["m_b and ", "examples (prompts_sha256) of the task"],
    );
    other.tasks[0].task = "gsm8k".to_owned();
    EvaluationDirectory::finish(&at("other"), &other).unwrap();
    refused(
        &[at("m_b"), at("other")],
        &["m_b and ", "have no task in common"],
    );
}

#[test]
fn directories_of_an_earlier_release_make_a_table() {
    let released =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../calm-lm/tests/fixtures/previous-release");
    let found = table(&[released.join("results"), released.join("composition")]).unwrap();
    assert_eq!(found.frame.systems.len(), 2);
    let [run] = &found.runs[..] else {
        panic!("{:?}", found.runs)
    };
    let system = found
        .frame
        .systems
        .iter()
        .find(|system| system.id == run.system)
        .unwrap();
    assert_eq!(system.kind, SystemKind::Composed);
    assert!(
        found.cells.iter().any(|cell| cell.system == run.system),
        "{:?}",
        found.frame.systems
    );
    assert_eq!((run.steps, run.losses.len(), run.flops), (40, 40, None));
    assert!(run.trained_parameters > 0 && run.paper_parameters.is_some());
    assert_eq!(run.weights_sha256.len(), 2);
}
