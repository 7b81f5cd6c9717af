//! Forms of bridges, as flags and as files.

use crate::common::Workshop;
use serde_json::{Value, json};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --steps 6 --quiet";

/// Options in composition.json after a run with these flags.
fn options(workshop: &Workshop, flags: &str, out: &str) -> Value {
    workshop
        .calm(&format!("{COMPOSE} {flags} --out {out}"))
        .done();
    let text = workshop.text(&format!("{out}/composition.json"));
    let file: Value = serde_json::from_str(&text).unwrap();
    file["options"].clone()
}

#[test]
fn forms_and_what_is_added_to_them() {
    let workshop = Workshop::new();
    let of = |options: &Value| {
        let keys = [
            "anchor_norm",
            "augmenting_norm",
            "output_norm",
            "output_unit",
        ];
        json!(keys.map(|key| options[key].clone()))
    };
    let normed = options(&workshop, "", "normed");
    assert_eq!(of(&normed), json!([true, true, false, "anchor"]));
    let more = options(&workshop, "--output-norm --output-unit one", "more");
    assert_eq!(of(&more), json!([true, true, true, null]));
    let paper = options(&workshop, "--bridge paper", "paper");
    assert_eq!(of(&paper), json!([false, false, false, null]));
    let one = options(
        &workshop,
        "--bridge paper --anchor-norm --output-unit anchor",
        "one",
    );
    assert_eq!(of(&one), json!([true, false, false, "anchor"]));
    workshop
        .calm(&format!("{COMPOSE} --bridge plain --out refused"))
        .refused(&["plain", "normed", "paper"]);
    let described = workshop.calm(&format!("{COMPOSE} --out new --dry-run"));
    assert!(described.done().contains("bridge = \"normed\"\n"));
}

#[test]
fn a_normed_composition_is_opened_extended_and_shown() {
    let workshop = Workshop::new();
    options(&workshop, "--learning-rate 2e-2", "normed");
    options(&workshop, "--bridge paper", "paper");
    let shown = workshop.calm("inspect normed").done();
    assert!(shown.contains("options           normed\n"), "{shown}");
    let shown = workshop.calm("inspect paper").done();
    assert!(shown.contains("the paper's"), "{shown}");
    let generate = "--prompt ABCDE --max-new-tokens 8";
    workshop.calm(&format!("generate normed {generate}")).done();
    let extend = "compose --augmenting specialist --train data.jsonl --rows 4 --steps 2 --quiet";
    for (from, unit) in [("normed", json!("anchor")), ("paper", Value::Null)] {
        workshop
            .calm(&format!("{extend} --extend {from} --out {from}-two"))
            .done();
        let text = workshop.text(&format!("{from}-two/composition.json"));
        let file: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(file["options"]["output_unit"], unit, "{from}");
    }
    workshop
        .calm("export normed --to lucidrains --out bridges.safetensors")
        .refused(&["augmenting_norm"]);
}
