//! Files that the release before wrote still open, see `fixtures/previous-release/README.md`.

use std::fs;

use serde_json::json;

use crate::common::{Workshop, files_below, fixtures};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --bridge paper \
                       --connections [[2,1],[4,3]]";
const TRAIN: &str = "--train data.jsonl --rows 4 --steps 40 --checkpoint-steps 10 \
                     --keep-checkpoints 1 --learning-rate 2e-2 --seed 5 --quiet";
const VALIDATION: &str = "--validation data.jsonl --validation-steps 10 \
                          --validation-metric exact --validation-examples 4";

/// The files, and the models that they were made of.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.add(&files_below(&fixtures("calm-lm").join("previous-release")));
    workshop
}

#[test]
fn models_write_what_they_wrote() {
    let workshop = workshop();
    for model in ["composition", "lora", "pretrained"] {
        let prompts = "--prompt ABCDE --prompt KLM --prompt QWERTY --max-new-tokens 12";
        let text = workshop.calm(&format!("generate {model} {prompts}")).done();
        assert_eq!(text, workshop.text(&format!("{model}.txt")), "{model}");
        workshop.calm(&format!("inspect {model}")).done();
    }
}

#[test]
fn runs_are_shown() {
    let workshop = workshop();
    let runs = workshop
        .calm("runs list composition lora pretrained stopped --json")
        .json();
    let runs = runs["runs"].as_array().unwrap().iter();
    let found: Vec<_> = runs
        .map(|run| json!([run["run"], run["state"], run["step"], run["steps"]]))
        .collect();
    let expected = json!([
        ["composition", "finished", 40, 40],
        ["lora", "finished", 40, 40],
        ["pretrained", "finished", 40, 40],
        ["stopped", "interrupted", 20, 40],
    ]);
    assert_eq!(json!(found), expected);
    let shown = workshop.calm("runs show composition --json").json();
    assert_eq!(shown["best_validation"]["metric"]["value"], 0.25);
    assert_eq!(
        shown["description"]["settings"]["what"]["composed"]["heads"],
        4
    );
    workshop
        .calm("runs compare composition lora pretrained")
        .done();
}

#[test]
fn a_stopped_run_ends_with_the_bytes_it_would_have_had() {
    let workshop = workshop();
    let resume = format!("{COMPOSE} {TRAIN} {VALIDATION} --out stopped --resume --json");
    let resumed = workshop.calm(&resume).json();
    assert!(workshop.bridges("stopped") == workshop.bridges("composition"));
    let finished = workshop.calm("inspect composition --json").json();
    assert_eq!(resumed["training"]["data"], finished["training"]["data"]);
    let validation = |run: &str| workshop.text(&format!("{run}/run/validation.jsonl"));
    let steps = |run: &str| validation(run).lines().count();
    assert_eq!(steps("stopped"), steps("composition"));
}

#[test]
fn finished_runs_are_finished_still() {
    let workshop = workshop();
    let lora = format!("{COMPOSE} {VALIDATION} --baseline lora");
    let pretrain = "pretrain --tokenizer anchor/tokenizer.json --blocks 2 --d-model 16 --heads 2";
    for (line, out) in [(lora.as_str(), "lora"), (pretrain, "pretrained")] {
        let weights = format!("{out}/model.safetensors");
        let before = workshop.bytes(&weights);
        fs::remove_file(workshop.path(&weights)).unwrap();
        let again = workshop.calm(&format!("{line} {TRAIN} --out {out} --resume"));
        again.done();
        assert!(workshop.bytes(&weights) == before, "{out}");
    }
}

#[test]
fn results_are_compared_and_scored_again() {
    let workshop = workshop();
    let compared = workshop.calm("eval --compare results/anchor results/composition");
    assert_eq!(compared.done(), workshop.text("compared.txt"));
    let again = "score --samples results/composition/samples.jsonl --json";
    let score = &workshop.calm(again).json()["tasks"][0]["score"];
    let results: serde_json::Value =
        serde_json::from_str(&workshop.text("results/composition/results.json")).unwrap();
    assert_eq!(*score, results["tasks"][0]["score"]);
    // A finished run goes on as what it is.
    let eval = "eval composition --task letters.toml --data letters --quiet --json";
    let done = workshop.calm(&format!("{eval} --out results/composition"));
    assert_eq!(done.json()["tasks"][0]["score"], *score);
}

/// The same data, settings and seed give the bytes that they gave then.
#[test]
fn training_comes_to_the_same_bytes() {
    let workshop = workshop();
    let line = format!("{COMPOSE} {TRAIN} {VALIDATION} --out again");
    workshop.calm(&line).done();
    assert!(workshop.bridges("again") == workshop.bridges("composition"));
    let lora = format!("{COMPOSE} {TRAIN} {VALIDATION} --baseline lora --out lora-again");
    workshop.calm(&lora).done();
    let weights = |out: &str| workshop.bytes(&format!("{out}/model.safetensors"));
    assert!(weights("lora-again") == weights("lora"));
}
