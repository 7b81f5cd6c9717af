//! Cached activations change no result.

use crate::common::Workshop;
use serde_json::Value;

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --connections every:2 \
                       --train data.jsonl --rows 4 --steps 20 --seed 5 --json";

/// The record and the bridges of a training with these flags.
fn recorded(workshop: &Workshop, out: &str, flags: &str) -> (Value, Vec<u8>) {
    let run = workshop.calm(&format!("{COMPOSE} --out {out} {flags}"));
    (run.json()["training"].take(), workshop.bridges(out))
}

/// The statistics of activations and the bridges of a training with these flags.
fn trained(workshop: &Workshop, out: &str, flags: &str) -> (Value, Vec<u8>) {
    let (mut training, bridges) = recorded(workshop, out, flags);
    (training["activations"].take(), bridges)
}

#[test]
fn runs_come_to_the_same_bridges_wherever_states_are_kept() {
    let workshop = Workshop::new();
    let (none, expected) = trained(&workshop, "off", "--activation-cache off");
    assert_eq!(none, Value::Null);
    let (memory, bridges) = trained(&workshop, "memory", "");
    assert!(bridges == expected);
    // 24 examples, each of them once.
    assert_eq!(memory["computed"], 24, "{memory}");
    assert_eq!(memory["reused"], 56, "{memory}");
    let (first, bridges) = trained(&workshop, "first", "--activation-cache states");
    assert!(bridges == expected);
    assert_eq!(first["computed"], 24, "{first}");
    let (second, bridges) = trained(&workshop, "second", "--activation-cache states");
    assert!(bridges == expected);
    assert_eq!(second["computed"], 0, "{second}");
    let (small, bridges) = trained(&workshop, "small", "--activation-budget 0");
    assert!(bridges == expected);
    assert_eq!(small["kept_examples"], 0, "{small}");

    let (_, bridges) = trained(&workshop, "half", "--activation-type bf16");
    assert!(bridges != expected);
    // A run is gone on with as what it is.
    let run = workshop.calm(&format!("{COMPOSE} --out half --resume"));
    run.refused(&["activations"]);
}

#[test]
fn states_that_are_found_take_no_operations() {
    let workshop = Workshop::new();
    let flops = |out: &str, flags: &str| {
        let (training, _) = recorded(&workshop, out, flags);
        assert!(training["tokens_read"].as_u64() > training["target_tokens"].as_u64());
        assert!(training["target_tokens"].as_u64() > Some(0), "{training}");
        training["flops"].as_f64().unwrap()
    };
    let all = flops("off", "--activation-cache off");
    let memory = flops("memory", "--activation-cache states");
    let found = flops("found", "--activation-cache states");
    // 24 of 80 were computed, and then none.
    let share = (all - memory) / (all - found);
    assert!((share - 56.0 / 80.0).abs() < 1e-9, "{all} {memory} {found}");
    assert!(found > 0.0);
}

#[test]
fn a_dry_run_leaves_no_states_behind() {
    let workshop = Workshop::new();
    let run = workshop.calm(&format!(
        "{COMPOSE} --out new --activation-cache states --dry-run"
    ));
    run.done();
    assert!(!workshop.path("states").exists() && !workshop.path("new").exists());
}

#[test]
fn gradients_block_by_block_train_the_same_bridges() {
    let workshop = Workshop::new();
    let loss = |out: &str, flags: &str| {
        let run = workshop.calm(&format!("{COMPOSE} --out {out} {flags}"));
        run.json()["training"]["final_loss"].as_f64().unwrap()
    };
    let (whole, parts) = (loss("whole", ""), loss("parts", "--gradient-checkpointing"));
    assert!((parts / whole - 1.0).abs() < 1e-4, "{parts} {whole}");
}
