//! Validation of a run, as a user sees it.

use std::fs;

use crate::common::{Workshop, example};
use serde_json::Value;

const TRAIN: &str = "--rows 4 --steps 30 --checkpoint-steps 10 --learning-rate 0.02 \
                     --schedule constant --warmup-steps 2 --validation held-out.jsonl \
                     --validation-steps 3 --patience 4";
const VALIDATION: &str = "--validation held-out.jsonl --validation-steps 3 --patience 4";
const MODELS: &str = "--anchor anchor --augmenting specialist --train data.jsonl \
                      --connections every:2";

/// A workshop with held-out examples that what is learnt is no help with.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("held-out.jsonl", &example("ABCDE", "mG").repeat(3));
    workshop
}

fn validations(workshop: &Workshop, out: &str) -> Vec<Value> {
    let text = workshop.text(&format!("{out}/run/validation.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// The step that `by` is least at.
fn best(validations: &[Value], by: impl Fn(&Value) -> f64) -> &Value {
    let least = validations.iter().min_by(|a, b| by(a).total_cmp(&by(b)));
    &least.unwrap()["step"]
}

#[test]
fn the_best_composition_is_kept_and_an_early_stop_is_said() {
    let workshop = workshop();
    let run = workshop.calm(&format!("compose {MODELS} {TRAIN} --out early --json"));
    assert!(
        run.stderr.contains("validation at step 3: loss "),
        "{run:#?}"
    );
    assert!(run.stderr.contains(", the best so far"), "{run:#?}");
    let training = run.json()["training"].clone();
    let found = validations(&workshop, "early");
    assert_eq!(
        training["step"],
        *best(&found, |line| line["loss"].as_f64().unwrap())
    );
    assert_eq!(training["best"]["step"], training["step"]);
    assert_eq!(training["steps_done"], found.last().unwrap()["step"]);
    assert!(training["steps_done"].as_u64() < Some(30), "{training}");
    assert_eq!(found[0]["metric"], Value::Null);

    // Without a decay, a run of so many steps is the beginning of a longer one.
    let straight = format!("compose {MODELS} {TRAIN} --out straight")
        .replace("--steps 30", &format!("--steps {}", training["step"]))
        .replace(VALIDATION, "");
    workshop.calm(&straight).done();
    assert!(
        workshop.bridges("early") == workshop.bridges("straight"),
        "validation disturbs nothing"
    );
}

#[test]
fn a_score_decides_if_there_is_one() {
    let workshop = Workshop::new();
    // The training data, so that some of it is written right in the end.
    fs::copy(workshop.path("data.jsonl"), workshop.path("held-out.jsonl")).unwrap();
    let line = format!(
        "{MODELS} {TRAIN} --validation-metric exact --validation-examples 8 --patience 50 --steps 60"
    );
    let line = line.replace("--patience 4 ", "").replace("--steps 30 ", "");
    for (verb, out) in [("compose", "composed"), ("compose --baseline lora", "lora")] {
        let run = workshop.calm(&format!("{verb} {line} --out {out} --json"));
        let training = run.json()["training"].clone();
        let found = validations(&workshop, out);
        let score = |line: &Value| line["metric"]["value"].as_f64().unwrap();
        assert_eq!(found[0]["metric"]["name"], "exact");
        let by = |line: &Value| 1e6 * (1.0 - score(line)) + line["loss"].as_f64().unwrap();
        assert_eq!(training["step"], *best(&found, by), "{found:#?}");
        assert!(found.iter().any(|line| score(line) > 0.0), "{found:#?}");
        let eval = format!("eval {out} --data held-out.jsonl --json");
        let result = workshop.calm(&eval).json();
        let expected = score(
            found
                .iter()
                .find(|line| line["step"] == training["step"])
                .unwrap(),
        );
        let all = result["hits"].as_f64().unwrap() / result["n"].as_f64().unwrap();
        assert!((all - expected).abs() < 1e-9, "{result} {expected}");
    }
}
