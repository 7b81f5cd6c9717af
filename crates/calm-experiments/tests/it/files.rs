//! What is wrong in a file is told with its line, and with the nearest name.

use std::fs;
use std::path::PathBuf;

use calm_experiments::plan::{Plan, PlanOptions};
use calm_experiments::{Experiment, Mode};

/// The top of the workspace.
pub(crate) fn root() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// A small experiment that is valid: 11 lines of head, then systems and tasks.
pub(crate) fn valid() -> String {
    let checkpoints = root().join("datasets/checkpoints");
    let checkpoints = checkpoints.display();
    format!(
        r#"layout = 1
title = "Small"
seeds = 0
models.keys.source = "{checkpoints}/kv-augmenting"
models.sums.source = "{checkpoints}/kv-anchor"
[data.kv.build]
builder = "kv"
config = {{ pairs = 1000, largest_value = 1000, operands = [3, 4], operators = ["+", "-"] }}
sizes = {{ all = 0, held-in = 64, held-out = 8 }}
[defaults]
compose = {{ anchor = "sums", augmenting = "keys", connections = "every:2", train = "kv/mixed.jsonl", steps = 3, rows = 4 }}
task = {{ max-new-tokens = 6, batch = 3 }}
[systems.alone]
model = "sums"
[systems.both]
compose = {{}}
[tasks.sums]
file = "kv/kv-arithmetic.held-out.jsonl"
"#
    )
}

/// The error of this file, as far as it can be planned.
pub(crate) fn error(text: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("small.toml");
    fs::write(&path, text).unwrap();
    let store = directory.path().join("results");
    let planned = Experiment::read(path.to_str().unwrap(), Mode::Standard, &[]);
    let planned = planned.and_then(|experiment| {
        let options = PlanOptions {
            store: &store,
            device: "cpu",
            only: &[],
        };
        Plan::new(experiment, &options, &mut |_| {})
    });
    let error = planned.expect_err("it is not valid").to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn what_is_wrong_has_a_line_and_the_nearest_name() {
    for (from, to, expected) in [
        ("layout = 1", "", "small.toml: has no layout"),
        (
            "layout = 1",
            "layout = 7",
            "small.toml, line 1: layout is 7",
        ),
        (
            "title =",
            "titel =",
            "line 2: unknown key or value 'titel'; did you mean 'title'?",
        ),
        ("seeds = 0", "seeds = \"0..x\"", "line 3: 'x' is no seed"),
        ("kv-anchor", "kv-anker", "line 5: model 'sums':"),
        (
            "kv-anchor",
            "kv-anker",
            "there is no such file or directory",
        ),
        (
            "builder = \"kv\"",
            "builder = \"kw\"",
            "data 'kv': unknown key or value 'kw'; did you mean 'kv'?",
        ),
        (
            "builder = \"kv\"",
            "",
            "line 6: data 'kv': missing field `builder`",
        ),
        (
            "pairs = 1000",
            "pears = 1000",
            "data 'kv': unknown key or value 'pears'; did you mean 'pairs'?",
        ),
        (
            "largest_value = 1000",
            "largest_value = 9",
            "`largest_value` is 9",
        ),
        (
            "steps = 3",
            "stepps = 3",
            "line 11: unknown setting 'stepps'; did you mean 'steps'?",
        ),
        (
            "steps = 3",
            "steps = \"three\"",
            "line 11: 'steps': invalid type",
        ),
        (
            "steps = 3",
            "out = \"x\"",
            "line 11: 'out' is given by the experiment",
        ),
        (
            "anchor = \"sums\"",
            "anchor = \"sum\"",
            "there is no model 'sum'; did you mean 'sums'?",
        ),
        (
            "train = \"kv/mixed.jsonl\"",
            "train = \"kw/mixed.jsonl\"",
            "there is no data 'kw'; did you mean 'kv'?",
        ),
        (
            "train = \"kv/mixed.jsonl\"",
            "train = \"kv/mixt.jsonl\"",
            "mixt.jsonl: there is no such file",
        ),
        (
            "train = \"kv/mixed.jsonl\"",
            "train = \"kv/../mixed.jsonl\"",
            "leads out of data 'kv'",
        ),
        (
            "train = \"kv/mixed.jsonl\", ",
            "",
            "line 16: system 'both': required settings are missing: --train",
        ),
        (
            "compose = {}",
            "",
            "line 15: system 'both': give one of `model`",
        ),
        (
            "compose = {}",
            "like = \"bot\"",
            "line 16: there is no system 'bot'; did you mean 'both'?",
        ),
        (
            "compose = {}",
            "like = \"both\"",
            "line 16: system 'both' is like itself: both → both",
        ),
        (
            "compose = {}",
            "compose.noise = -1",
            "line 16: system 'both': --noise",
        ),
        (
            "model = \"sums\"",
            "model = \"summe\"",
            "line 14: there is no model 'summe'",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\ntask = \"gsm8k\"",
            "line 17: task 'sums': give either `task`",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\nmetric = \"chrf\"",
            "did you mean 'chrf",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\nmetric = \"pass@1\"",
            "line 18: task 'sums': pass@1 runs programs",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\nshots = 3",
            "line 18: task 'sums': 'shots' is for a benchmark",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\nprompt = \"{{ promt }}\"",
            "there is no field 'promt'",
        ),
        (
            "[tasks.sums]",
            "[tasks.sums]\npaper = { bth = 1.0 }",
            "there is no system 'bth'; did you mean 'both'?",
        ),
        (
            "file = \"kv/kv-arithmetic.held-out.jsonl\"",
            "task = \"gsm9k\"\ndata = \"kv\"",
            "gsm9k",
        ),
        (
            "file = \"kv/kv-arithmetic.held-out.jsonl\"",
            "task = \"gsm8k\"",
            "line 17: task 'sums': say in `data`",
        ),
        (
            "file = \"kv/kv-arithmetic.held-out.jsonl\"",
            "task = \"gsm8k\"\ndata = \"kv\"\nmetric = \"bleu\"",
            "'metric' is for a `file`",
        ),
        (
            "seeds = 0",
            "main = \"boht\"",
            "line 3: there is no system 'boht'; did you mean 'both'?",
        ),
        ("title =", "extends = \"tabel1\"\ntitle =", "tabel1"),
        (
            "title =",
            "extends = \"small.toml\"\ntitle =",
            "extends more than 8 files in a row",
        ),
        (
            "title =",
            "extends = \"table1\"\nwithout = [\"lorra\"]\ntitle =",
            "line 3: without: table1 has no system, task or expectation 'lorra'",
        ),
    ] {
        let text = valid();
        assert!(text.contains(from), "{from}");
        let found = error(&text.replacen(from, to, 1));
        assert!(found.contains(expected), "{to}: {found}");
    }
}

#[test]
fn samples_are_of_data_that_is_there() {
    let sampled = |sample: &str, train: &str| {
        let text = valid().replace(
            "train = \"kv/mixed.jsonl\"",
            &format!("train = \"{train}\""),
        );
        error(&format!("{text}[data.dc]\nsample = {{ {sample} }}\n"))
    };
    for (sample, expected) in [
        (
            "\"kw/mixed.jsonl\" = { share = 0.1 }",
            "line 20: there is no data 'kw'; did you mean 'kv'?",
        ),
        (
            "\"kv/mixed.jsonl\" = { share = 1.5 }",
            "mixed.jsonl: a share of 1.5 is none",
        ),
        (
            "\"kv/mixed.jsonl\" = { examples = 65 }",
            "mixed.jsonl: has 64 rows, and 65 are wanted",
        ),
        (
            "\"dc\" = { share = 0.1 }",
            "data 'dc' is a sample of itself: dc → dc",
        ),
        (
            "\"kv/mixed.jsonl\" = { part = 0.1 }",
            "unknown key or value 'part'; did you mean 'share'?",
        ),
    ] {
        let found = sampled(sample, "dc");
        assert!(found.contains(expected), "{sample}: {found}");
    }
    let both =
        valid() + "[data.dc]\npath = \"x\"\nsample = { \"kv/mixed.jsonl\" = { share = 0.1 } }\n";
    assert!(error(&both).contains("line 19: data 'dc': give one of `path`"));
}

#[test]
fn recipes_cannot_be_made_from_themselves() {
    let text = valid()
        + "[models.a]\npretrain = { from = \"b\", train = \"kv/mixed.jsonl\" }\n\
           [models.b]\npretrain = { from = \"a\", train = \"kv/mixed.jsonl\" }\n\
           [systems.c]\nmodel = \"a\"\n";
    let found = error(&text);
    assert!(
        found.contains("model 'a' is made from itself: a → b → a"),
        "{found}"
    );
}

#[test]
fn what_is_left_out_is_spoken_of_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    let text = "layout = 1\nextends = \"ntl\"\nwithout = [\"vanilla\", \"lora\"]\n";
    fs::write(&path, text).unwrap();
    let read = Experiment::read(path.to_str().unwrap(), Mode::Standard, &[]).unwrap();
    let problems = read.file.tasks.get("problems").unwrap();
    let figures = &problems.groups.get("low_resource").unwrap().paper;
    assert_eq!(
        (figures.get("lora"), figures.get("random")),
        (None, Some(&17.8))
    );
    let expected = read.file.expect.get("variants-of-problems").unwrap();
    assert_eq!(expected.over, ["random", "encoder"]);
}

#[test]
fn a_file_is_laid_over_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mine.toml");
    fs::write(
        &path,
        "layout = 1\nextends = \"table1\"\nwithout = [\"lora\", \"random\"]\ntitle = \"Mine\"\n\
         [defaults.compose]\nnoise = 0.5\n[systems.composed]\ntitle = \"both\"\n\
         [quick]\ndefaults.compose.steps = 7\n",
    )
    .unwrap();
    let name = path.to_str().unwrap();
    let settings = [
        "defaults.compose.rows=9".to_owned(),
        "data.kv.build.config.fold=2".to_owned(),
    ];
    let read = Experiment::read(name, Mode::Quick, &settings).unwrap();
    let (file, compose) = (&read.file, &read.file.defaults.compose);
    assert_eq!((&*read.name, &*file.title), ("mine", "Mine"));
    assert_eq!(file.systems.ids(), ["augmenting", "anchor", "composed"]);
    assert_eq!(compose["noise"], 0.5);
    assert_eq!(
        (&compose["steps"], &compose["rows"]),
        (&7.into(), &9.into())
    );
    let systems = &file.systems;
    assert_eq!(
        systems.get("composed").unwrap().title.as_deref(),
        Some("both")
    );
    // The seeds are those of the other file's `[quick]`.
    assert_eq!(file.seeds.as_ref().unwrap().as_slice(), [0]);
    // As one file, it means the same.
    let shown = directory.path().join("shown.toml");
    fs::write(&shown, read.to_toml()).unwrap();
    let again = Experiment::read(shown.to_str().unwrap(), Mode::Standard, &[]).unwrap();
    assert_eq!(again.file.defaults, file.defaults);
    assert_eq!(again.file.tasks, file.tasks);
    assert_eq!(again.file.systems, file.systems);
}
