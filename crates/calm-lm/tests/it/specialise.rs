//! `calm pretrain --from`: a checkpoint and a corpus become an augmenting model.

use std::fs;

use crate::common::{Workshop, kill, wait_until};

const SPECIALISE: &str = "pretrain --from specialist --train texts.jsonl --context 16 --rows 2 \
                          --steps 30 --checkpoint-steps 4 --learning-rate 1e-3 --seed 3";

fn workshop() -> Workshop {
    let workshop = Workshop::new();
    let texts = ["ABCABCABCABCABCABCABCABCABC", "KLM", "QWERTYQWERTY", "gfd"];
    let lines = texts.map(|text| format!("{{\"text\": \"{text}\"}}\n"));
    workshop.write("texts.jsonl", &lines.concat());
    workshop.write(
        "specialist/chat_template.jinja",
        "{{ messages[0].content }}",
    );
    workshop
}

#[test]
fn a_checkpoint_and_a_corpus_become_an_augmenting_model() {
    let workshop = workshop();
    let made = workshop
        .calm(&format!("{SPECIALISE} --lora 4 --out made --json"))
        .json();
    let base = workshop.calm("inspect specialist --json").json();
    assert_eq!(made["from"]["weights_sha256"], base["weights_sha256"]);
    assert_eq!(
        (&made["from"]["source"], &made["rank"]),
        (&"specialist".into(), &4.into())
    );
    assert_eq!(made["training"]["data"]["packed"]["context"], 16);
    assert_eq!(
        workshop.text("made/chat_template.jinja"),
        "{{ messages[0].content }}"
    );

    let shown = workshop.calm("runs show made").done();
    let line = |name: &str| shown.lines().find(|line| line.starts_with(name));
    let hash = line("what.specialised.weights_sha256").unwrap();
    assert!(
        hash.ends_with(base["weights_sha256"].as_str().unwrap()),
        "{hash}"
    );

    workshop
        .calm("generate made --prompt ABC --chat --max-new-tokens 4")
        .done();
    let compose = "compose --anchor anchor --augmenting made --train data.jsonl --steps 2";
    workshop
        .calm(&format!(
            "{compose} --connections every:2 --out composition"
        ))
        .done();
    workshop
        .calm("generate composition --prompt ABC --max-new-tokens 4")
        .done();
}

#[test]
fn a_dry_run_prints_a_file_that_is_the_run() {
    let workshop = workshop();
    let line = "pretrain --from specialist --train texts.jsonl --steps 3 --out made";
    let described = workshop.calm(&format!("{line} --dry-run")).done();
    for setting in [
        "context = 128",
        "pack = true",
        "rows = 4",
        "learning-rate = 0.00005",
    ] {
        assert!(
            described.lines().any(|line| line == setting),
            "{setting}: {described}"
        );
    }
    assert!(!workshop.path("made").exists());
    workshop.write("made.toml", &described);
    workshop
        .calm("pretrain --config made.toml --out by-file")
        .done();
    workshop.calm(line).done();
    let weights = |out: &str| workshop.bytes(&format!("{out}/model.safetensors"));
    assert!(weights("by-file") == weights("made"));
}

#[test]
fn a_killed_specialisation_ends_with_the_same_bytes() {
    let workshop = workshop();
    workshop
        .calm(&format!("{SPECIALISE} --out straight"))
        .done();
    let line = format!("{SPECIALISE} --out killed --resume --quiet");
    let child = workshop.command(&line).spawn().unwrap();
    wait_until("a checkpoint", || {
        let checkpoints = workshop.path("killed/run/checkpoints");
        fs::read_dir(checkpoints).is_ok_and(|mut entries| entries.next().is_some())
    });
    kill(child);
    workshop.calm(&line).done();
    let weights = |out: &str| workshop.bytes(&format!("{out}/model.safetensors"));
    assert!(weights("killed") == weights("straight"));
}

#[test]
fn what_belongs_to_a_fresh_model_is_refused() {
    let workshop = workshop();
    workshop.refuses(
        &format!("{SPECIALISE} --out new"),
        &[
            ("--blocks 2", &["--blocks: ", "--from"]),
            ("--eos A", &["--eos: ", "--from"]),
            ("--tokenizer anchor/tokenizer.json", &["--tokenizer: "]),
            ("--lora 0", &["--lora: must be at least 1"]),
            ("--lora 9999999999", &["--lora: ", "width"]),
            ("--dtype double", &["auto, f32, f16 or bf16"]),
        ],
    );
    workshop.refuses(
        "pretrain --train texts.jsonl --out new --tokenizer anchor/tokenizer.json",
        &[("--lora", &["--lora: ", "--from"])],
    );
}
