//! `calm experiment`: tables from files, killed at random, on a full disk.

use std::thread;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::common::{Workshop, kill};

const FILE: &str = r#"layout = 1
title = "Letters"
seeds = "0..1"
models = { anchor.source = "anchor", specialist.source = "specialist" }
data.rows.path = "data.jsonl"
[defaults.compose]
anchor = "anchor"
augmenting = "specialist"
train = "rows"
connections = "[[2,1],[4,3]]"
rows = 4
steps = 60
checkpoint-steps = 4
[defaults.task]
max-new-tokens = 4
batch = 3
[systems]
alone = { title = "m_B", model = "anchor" }
both = { title = "m_A⊕B", compose = {} }
lora = { compose.baseline = "lora", seeds = 0 }
[tasks]
letters = { file = "rows", paper.both = 84.3, parts.length = "target|length" }
likeness = { file = "rows", metric = "chrf1" }
"#;

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("letters.toml", FILE);
    workshop
}

/// A table without what differs from run to run: places, times and memory.
fn findings(workshop: &Workshop, results: &str) -> [Value; 4] {
    let table: Value =
        serde_json::from_str(&workshop.text(&format!("{results}/letters/table.json"))).unwrap();
    let mut cells = table["cells"].clone();
    for cell in cells.as_array_mut().unwrap() {
        for seed in cell["seeds"].as_array_mut().unwrap() {
            seed["directory"] = json!(null);
            seed["seconds"] = json!(null);
        }
    }
    let losses = table["runs"].as_array().unwrap().iter();
    let losses = losses.map(|run| run["losses"].clone()).collect();
    [
        cells,
        table["contrasts"].clone(),
        table["samples"].clone(),
        losses,
    ]
}

#[test]
fn a_file_becomes_a_table_and_a_report() {
    let workshop = workshop();
    let line = "experiment run letters.toml --results results";
    let described = workshop.calm(&format!("{line} --dry-run --json")).json();
    assert_eq!(described["jobs"].as_array().unwrap().len(), 4);
    assert_eq!(described["jobs"][1]["steps"], 60);
    assert!(described["memory_bytes"].as_u64().unwrap() > 0);
    let first = workshop.calm(&format!("{line} --quiet")).done();
    for text in ["m_A⊕B", "84.3", "report: results/letters/report.html"] {
        assert!(first.contains(text), "{text} is not in {first}");
    }
    for (name, expected) in [
        ("report.html", "m_A⊕B"),
        ("report.md", "Letters"),
        ("table.csv", "both"),
    ] {
        let text = workshop.text(&format!("results/letters/{name}"));
        assert!(text.contains(expected), "{name}");
    }
    // Nothing is left to do.
    let described = workshop.calm(&format!("{line} --dry-run --json")).json();
    assert_eq!(described["jobs"][1]["is_done"], true);
    let before = findings(&workshop, "results");
    workshop.calm(&format!("{line} --quiet")).done();
    assert_eq!(findings(&workshop, "results"), before);
    let listed = workshop.calm("experiment list --json").json();
    assert_eq!(listed["experiments"][0]["name"], "table1");
    let shown = workshop
        .calm("experiment show letters.toml --set seeds=7")
        .done();
    assert!(shown.contains("seeds = \"7\""), "{shown}");
}

#[test]
fn a_run_that_is_killed_ten_times_comes_to_the_same_table() {
    let workshop = Workshop::new();
    // Long enough to be killed in the middle, also where nothing else runs.
    workshop.write("letters.toml", &FILE.replace("steps = 60", "steps = 300"));
    workshop
        .calm("experiment run letters.toml --results straight --quiet")
        .done();
    let line = "experiment run letters.toml --results killed --quiet --json";
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let mut killed = 0;
    while killed < 10 {
        let child = workshop.command(line).spawn().unwrap();
        thread::sleep(Duration::from_millis(rng.random_range(30..300)));
        if kill(child).status.success() {
            break;
        }
        killed += 1;
    }
    let made = workshop.calm(line).json();
    assert!(killed > 1, "{killed}");
    assert_eq!(made["report"], "killed/letters/report.html");
    assert_eq!(
        findings(&workshop, "killed"),
        findings(&workshop, "straight")
    );
}

#[test]
fn what_is_wrong_is_one_line() {
    let workshop = workshop();
    workshop.write("other.toml", &FILE.replace("steps = 60", "stepps = 60"));
    workshop.write(
        "none.toml",
        &FILE.replace("\"data.jsonl\"", "\"dta.jsonl\""),
    );
    workshop.refuses(
        "experiment run",
        &[
            ("tabel1", &["there is no experiment 'tabel1'", "table1"]),
            ("nothing.toml", &["nothing.toml"]),
            (
                "other.toml",
                &["other.toml, line 12", "did you mean 'steps'?"],
            ),
            ("none.toml", &["none.toml, line", "dta.jsonl"]),
            ("letters.toml --only bth", &["did you mean 'both'?"]),
            (
                "letters.toml --set systems.both.compose.noise=-1",
                &["--noise"],
            ),
            ("letters.toml --set seeds", &["is no setting"]),
            (
                "letters.toml --set sytems.x=1",
                &["did you mean 'systems'?"],
            ),
            ("letters.toml --quick --full", &["--quick"]),
        ],
    );
}
