//! A run says where it began, what it came to, and on which data.

use std::fs;

use crate::common::{Workshop, example, kill, wait_until};
use serde_json::{Value, json};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train many.jsonl \
                       --connections every:2 --rows 4 --learning-rate 5e-3";

/// A workshop with 100 examples of which no two are the same, two of them twice.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let letters: Vec<char> = "ABCDEFGHIJ".chars().collect();
    let one = |n: usize| {
        let (a, b) = (letters[n / 10], letters[n % 10]);
        example(&format!("{a}{b}{a}"), &format!("{b}{a}"))
    };
    let lines: String = (0..100).chain([3, 47]).map(one).collect();
    workshop.write("many.jsonl", &lines);
    workshop
}

fn events(workshop: &Workshop, out: &str, kind: &str) -> Vec<Value> {
    let text = workshop.text(&format!("{out}/run/events.jsonl"));
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .filter(|event: &Value| event["event"] == kind)
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn examples_are_held_out_and_the_anchor_alone_is_the_first_line() {
    let workshop = workshop();
    let run = workshop.calm(&format!("{COMPOSE} --steps 20 --out c --json"));
    let [data, anchor, ..] = &run.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("{run:#?}");
    };
    assert!(data.contains(", 8 more held out"), "{data}");
    assert!(anchor.starts_with("anchor alone: loss "), "{anchor}");
    assert!(anchor.contains(" nats per token (perplexity "), "{anchor}");
    assert!(anchor.ends_with(" on 8 held-out examples"), "{anchor}");
    assert!(
        run.stderr.contains("validation at step 4: loss "),
        "{run:#?}"
    );

    let training = run.json()["training"].clone();
    let data = &training["data"];
    let (held_out, copies) = (&data["held_out"], data["copies"].as_u64().unwrap_or(0));
    assert_eq!(*held_out, 8);
    assert_eq!(data["examples"].as_u64(), Some(102 - 8 - copies));
    let summary = &training["summary"];
    assert_eq!(summary["references"][0]["model"], "anchor-alone");
    assert_eq!(
        (&summary["examples"], &summary["held_out"]),
        (&json!(8), &json!(true))
    );
    assert_eq!(summary["best_step"], training["best"]["step"]);
    assert_eq!(summary["loss"], training["best"]["loss"]);
    assert!((number(&summary["perplexity"]) - number(&summary["loss"]).exp()).abs() < 1e-9);
    assert_eq!(
        events(&workshop, "c", "reference")[0]["loss"],
        summary["references"][0]["loss"]
    );
    assert_eq!(
        events(&workshop, "c", "summary")[0]["loss"],
        summary["loss"]
    );
    let shown = workshop.calm("runs show c --json").json();
    assert_eq!(shown["summary"], *summary);

    // Whatever the seed and the subject: all runs on this data are measured on the same examples.
    let lora =
        format!("{COMPOSE} --baseline lora --accumulation 2 --seed 4 --steps 10 --out lora --json");
    let lora = workshop.calm(&lora).json();
    let of_lora = &lora["training"]["summary"]["references"][0];
    assert_eq!(of_lora["model"], "anchor-alone");
    let [one, other] = [of_lora, &summary["references"][0]].map(|one| number(&one["loss"]));
    assert!((one - other).abs() < 1e-5, "{one} {other}");
}

#[test]
fn the_last_line_is_what_it_came_to() {
    let workshop = workshop();
    let text = workshop
        .calm(&format!("{COMPOSE} --steps 10 --out c"))
        .done();
    let result = text
        .lines()
        .find(|line| line.starts_with("result "))
        .unwrap();
    for words in [
        "held-out loss ",
        " (anchor alone) → ",
        "perplexity ",
        "8 examples, best step ",
    ] {
        assert!(result.contains(words), "{result}");
    }
    let without = workshop.calm(&format!(
        "{COMPOSE} --steps 10 --validation-share 0 --out d"
    ));
    let text = without.done();
    assert!(
        text.contains("training loss ") && text.contains("(anchor alone) → "),
        "{text}"
    );
    assert!(
        !workshop
            .text("d/run/events.jsonl")
            .contains("\"held_out\":true")
    );
}

#[test]
fn a_run_that_only_does_harm_says_so_once() {
    let workshop = workshop();
    // An anchor that knows all of the data: nothing can be gained.
    let knows = "--baseline finetune --validation-share 0 --steps 150 --learning-rate 2e-2";
    let knows = format!("{COMPOSE} {knows} --out knows").replace("--learning-rate 5e-3 ", "");
    workshop.calm(&knows).done();
    let line = format!("{COMPOSE} --steps 20 --out c --quiet");
    let line = line.replace("--anchor anchor", "--anchor knows");
    let run = workshop.calm(&line.replace("5e-3", "1"));
    assert_eq!(run.stderr.matches("loss is").count(), 1, "{run:#?}");
    let words = "of the anchor alone; try a lower --learning-rate (it is 1e0)";
    assert!(run.stderr.contains(words), "{run:#?}");
    run.done();
    assert_eq!(events(&workshop, "c", "above-start").len(), 1);
}

#[test]
fn what_was_held_out_stays_so_after_a_kill() {
    let workshop = workshop();
    let line = format!("{COMPOSE} --steps 150 --checkpoint-steps 10");
    workshop.calm(&format!("{line} --out straight")).done();
    let resume = format!("{line} --out killed --resume --quiet");
    let child = workshop.command(&resume).spawn().unwrap();
    wait_until("a checkpoint", || {
        workshop.path("killed/run/checkpoints/00000010").exists()
    });
    kill(child);
    let training = workshop.calm(&format!("{resume} --json")).json()["training"].clone();
    assert!(workshop.bridges("killed") == workshop.bridges("straight"));
    let straight: Value =
        serde_json::from_str(&workshop.text("straight/composition.json")).unwrap();
    assert_eq!(training["summary"], straight["training"]["summary"]);
    assert_eq!(
        events(&workshop, "killed", "reference").len(),
        1,
        "taken once"
    );

    // A run that holds nothing out goes on so, as all did that were begun before there was a choice.
    let all = format!("{line} --steps 40 --out all").replace("--steps 150 ", "");
    workshop.calm(&format!("{all} --validation-share 0")).done();
    workshop.calm(&format!("{all} --resume")).done();
    let other = workshop.calm(&format!("{all} --resume --validation-share 0.1"));
    other.refused(&["holds a run with other settings", "validation"]);
}

#[test]
fn epochs_are_as_many_steps_as_they_take() {
    let workshop = workshop();
    let steps = |flags: &str, out: &str| {
        let run = workshop.calm(&format!("{COMPOSE} {flags} --out {out} --json"));
        run.json()["training"]["settings"]["steps"].clone()
    };
    // 24 examples in batches of 4.
    let few = COMPOSE.replace("many", "data");
    let run = workshop
        .calm(&format!("{few} --epochs 1.5 --out few --json"))
        .json();
    assert_eq!(run["training"]["settings"]["steps"], 9);
    assert_eq!(steps("--epochs 0.1 --accumulation 2", "c"), 2);
    workshop.write("run.toml", "epochs = 3\n");
    assert_eq!(
        steps("--config run.toml --steps 2", "d"),
        2,
        "the command line wins"
    );
    let refused = |flags: &str, words: &[&str]| {
        workshop
            .calm(&format!("{COMPOSE} {flags} --out x"))
            .refused(words);
    };
    refused("--epochs 1 --steps 3", &["--epochs", "--steps"]);
    refused("--epochs 0", &["--epochs: must be above 0"]);
    refused("--epochs nan", &["--epochs"]);
    refused(
        "--validation-share 1",
        &["--validation-share: may be from 0"],
    );
    refused(
        "--validation-share 0.999",
        &["--validation-share: leaves nothing"],
    );
    refused(
        "--validation-share 0 --patience 2",
        &["--patience: needs --validation"],
    );
}

#[test]
fn several_seeds_are_as_many_runs() {
    let workshop = workshop();
    let line = format!("{COMPOSE} --steps 6 --seeds 0..2 --out all");
    let text = workshop.calm(&line).done();
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("held-out loss ") && last.contains(" ± "),
        "{text}"
    );
    assert!(
        last.ends_with("nats per token (mean ± standard deviation, 3 seeds)"),
        "{text}"
    );
    workshop
        .calm(&format!("{COMPOSE} --steps 6 --seed 2 --out two"))
        .done();
    assert!(workshop.bridges("all/seed-2") == workshop.bridges("two"));
    let json = workshop.calm(&format!("{line} --resume --json")).json();
    let losses = json["runs"].as_array().unwrap().iter();
    let losses: Vec<f64> = losses
        .map(|run| number(&run["result"]["training"]["summary"]["loss"]))
        .collect();
    let mean = losses.iter().sum::<f64>() / 3.0;
    assert!(
        (number(&json["loss"]["mean"]) - mean).abs() < 1e-9,
        "{json}"
    );
    workshop
        .calm(&format!("{line} --seed 1"))
        .refused(&["--seeds", "--seed"]);
    let pretrain = "pretrain --tokenizer anchor/tokenizer.json --blocks 1 --d-model 8 --heads 1 \
                    --train many.jsonl --epochs 1 --seeds 4,6 --out small";
    let text = workshop.calm(pretrain).done();
    assert!(text.contains("(untrained model) → "), "{text}");
    assert!(workshop.path("small/seed-6/model.safetensors").exists());
}

#[test]
fn a_composition_is_trained_further() {
    let workshop = workshop();
    workshop
        .calm(&format!("{COMPOSE} --steps 12 --out first"))
        .done();
    let before = workshop.bytes("first/bridge.safetensors");
    let further = "compose --init-from first --train data.jsonl --rows 4 --steps 30 \
                   --checkpoint-steps 10 --learning-rate 5e-3";
    let json = workshop
        .calm(&format!("{further} --out further --json"))
        .json();
    assert!(workshop.bytes("first/bridge.safetensors") == before);
    assert!(workshop.bridges("further") != before);
    let training = &json["training"];
    let references = training["summary"]["references"].as_array().unwrap();
    let models: Vec<_> = references.iter().map(|one| &one["model"]).collect();
    assert_eq!(models, ["anchor-alone", "composition-before"]);
    assert!(number(&training["summary"]["loss"]) < number(&references[1]["loss"]));
    assert_eq!(training["continued"]["steps_done"], 12);

    // What it began with is what was saved.
    let still = format!("{further} --learning-rate 1e-30 --out still --json");
    let still = workshop
        .calm(&still.replace("--learning-rate 5e-3 ", ""))
        .json();
    let text = |model: &str| {
        let line = format!("generate {model} --prompt ABA --prompt CDC --max-new-tokens 6");
        workshop.calm(&line).done()
    };
    assert_eq!(text("still"), text("first"));
    let start = &still["training"]["summary"]["references"][1]["loss"];
    assert_eq!(*start, references[1]["loss"]);

    let child = workshop
        .command(&format!("{further} --out killed --resume --quiet"))
        .spawn();
    wait_until("a checkpoint", || {
        workshop.path("killed/run/checkpoints/00000010").exists()
    });
    kill(child.unwrap());
    workshop
        .calm(&format!("{further} --out killed --resume"))
        .done();
    assert!(workshop.bridges("killed") == workshop.bridges("further"));
    fs::remove_dir_all(workshop.path("killed")).unwrap();
    for flags in [
        "--anchor anchor",
        "--augmenting specialist",
        "--heads 2",
        "--baseline lora",
    ] {
        let refused = workshop.calm(&format!("{further} --out x {flags}"));
        refused.refused(&["--init-from: takes models, connections"]);
    }
}
