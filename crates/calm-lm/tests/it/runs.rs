//! `calm runs`: tables and pictures of training runs.

use std::fs;

use crate::common::{Workshop, kill, wait_until};
use serde_json::Value;

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --checkpoint-steps 2 --quiet";

fn compose(workshop: &Workshop, flags: &str) {
    workshop.calm(&format!("{COMPOSE} {flags}")).done();
}

/// A workshop with the runs `fast` and `more/slow`.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    compose(&workshop, "--steps 30 --learning-rate 2e-3 --out fast");
    compose(&workshop, "--steps 20 --out more/slow");
    workshop
}

/// The words of a table's line that begins with this one.
fn line<'a>(table: &'a str, first: &str) -> Vec<&'a str> {
    let lines = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut found = lines.filter(|words| words.first() == Some(&first));
    found
        .next()
        .unwrap_or_else(|| panic!("no {first} in\n{table}"))
}

#[test]
fn all_runs_below_a_directory_are_listed() {
    let workshop = workshop();
    let table = workshop.calm("runs list").done();
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(line(&table, "fast")[..3], ["fast", "finished", "30/30"]);
    assert_eq!(
        line(&table, "more/slow")[..3],
        ["more/slow", "finished", "20/20"]
    );
    let runs = workshop.calm("runs list fast more --json").json();
    let metrics = workshop.text("fast/run/metrics.jsonl");
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(runs["runs"][0]["seconds"], last["seconds"]);
    let losses = [&runs["runs"][0]["loss"], &last["loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((losses[0] - losses[1]).abs() < 1e-6, "{losses:?}");
    assert_eq!(runs["runs"][1]["run"], "more/slow");
    assert!(
        runs["runs"][0]["target_tokens_per_second"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert_eq!(
        workshop.calm("runs list anchor").done(),
        "there is no run\n"
    );
}

#[test]
fn a_run_that_goes_on_is_told_from_one_that_was_killed() {
    let workshop = Workshop::new();
    let line_of = |out: &str| format!("{COMPOSE} --steps 100000 --out {out}");
    let child = workshop.command(&line_of("it")).spawn().unwrap();
    let metrics = workshop.path("it/run/metrics.jsonl");
    wait_until("metrics", || {
        fs::metadata(&metrics).is_ok_and(|file| file.len() >= 1000)
    });
    let state = || {
        let table = workshop.calm("runs list it").done();
        line(&table, "it")[1].to_owned()
    };
    assert_eq!(state(), "running");
    // To have looked disturbs nobody.
    workshop.calm("runs show it").done();
    kill(child);
    assert_eq!(state(), "interrupted");
    let steps = workshop.calm("runs show it --json").json();
    assert!(steps["step"].as_u64().unwrap() >= 5, "{steps}");
    // A line that was cut short is not counted.
    let whole = workshop.text("it/run/metrics.jsonl");
    let cut: Vec<&str> = whole.lines().take(3).collect();
    fs::write(&metrics, format!("{}\n{{\"step\": 4, \"lo", cut.join("\n"))).unwrap();
    assert_eq!(workshop.calm("runs show it --json").json()["step"], 3);
}

#[test]
fn one_run_is_shown_with_its_settings() {
    let workshop = workshop();
    let shown = workshop.calm("runs show fast").done();
    assert_eq!(line(&shown, "state"), ["state", "finished"]);
    assert_eq!(
        line(&shown, "train.learning_rate"),
        ["train.learning_rate", "0.002"]
    );
    let inside = workshop.calm("runs show fast/run").done();
    assert_eq!(inside, shown, "the run in it is the same");
    let validations = [(10, "2.5"), (20, "1.25"), (30, "null")].map(|(step, loss)| {
        format!(
            "{{\"step\":{step},\"loss\":{loss},\"metric\":{{\"name\":\"exact\",\"value\":0.5}},\
             \"seconds\":0.1}}\n"
        )
    });
    workshop.write("fast/run/validation.jsonl", &validations.concat());
    let json = workshop.calm("runs show fast --json").json();
    assert_eq!(json["best_validation"]["step"], 20);
    assert_eq!(json["best_validation"]["metric"]["value"], 0.5);
    let shown = workshop.calm("runs show fast --plot loss.svg").done();
    assert!(shown.contains("1.2500, exact 0.5000 at 20"), "{shown}");
    let svg = workshop.text("loss.svg");
    // The marks of two validations and of their legend.
    assert_eq!(svg.matches("r=\"4\"").count(), 3, "{svg}");
    for text in [
        "held-out examples",
        "optimiser step",
        "nats per target token",
    ] {
        assert!(svg.contains(text), "{text} is not in {svg}");
    }
}

#[test]
fn runs_are_compared_by_what_differs() {
    let workshop = workshop();
    let table = workshop
        .calm("runs compare fast more/slow --plot both.svg")
        .done();
    assert_eq!(line(&table, "train.steps"), ["train.steps", "30", "20"]);
    assert_eq!(
        line(&table, "train.learning_rate"),
        ["train.learning_rate", "0.002", "0.001"]
    );
    assert_eq!(line(&table, "state"), ["state", "finished", "finished"]);
    assert!(!table.contains("data_sha256"), "alike in both: {table}");
    let json = workshop.calm("runs compare fast more/slow --json").json();
    assert_eq!(json["differences"]["train.steps"][1], "20");
    assert_eq!(json["runs"][1]["steps"], 20);
    let svg = workshop.text("both.svg");
    assert!(
        svg.contains(">\nfast\n<") && svg.contains(">\nmore/slow\n<"),
        "{svg}"
    );
}

#[test]
fn what_is_no_run_is_refused() {
    let workshop = workshop();
    let before = workshop.names();
    let refused = |line: &str, words: &[&str]| workshop.calm(line).refused(words);
    refused(
        "runs show anchor",
        &["anchor: holds no run", "calm runs list"],
    );
    refused("runs list nowhere", &["nowhere: No such file"]);
    refused("runs compare fast", &["2 values", "<DIR>"]);
    refused("runs show fast --plot loss.png", &["loss.png", ".svg"]);
    refused(
        "runs compare fast nowhere --plot loss.svg",
        &["nowhere: holds no run"],
    );
    refused(
        "runs show fast --plot no/where.svg",
        &["no/where.svg: No such file"],
    );
    workshop.write("fast/run/metrics.jsonl", "{}\n");
    refused(
        "runs show fast",
        &["fast/run/metrics.jsonl: line 1: missing field"],
    );
    workshop.write("fast/run/run.json", "[");
    refused("runs list", &["fast/run/run.json: EOF"]);
    assert_eq!(workshop.names(), before);
}
