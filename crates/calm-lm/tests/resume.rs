//! Runs that are killed, interrupted or damaged go on as if nothing had happened.

#![cfg(unix)]

mod common;

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use common::{Run, Workshop, kill};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --accumulation 2 --steps 120 \
                       --checkpoint-steps 2 --seed 5";

fn bridges(workshop: &Workshop, out: &str) -> Vec<u8> {
    fs::read(workshop.path(out).join("bridge.safetensors")).unwrap()
}

/// A workshop with the composition `straight`, whose training nothing disturbed.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.calm(&format!("{COMPOSE} --out straight")).done();
    workshop
}

fn begin(workshop: &Workshop, out: &str) -> Child {
    let line = format!("{COMPOSE} --out {out} --resume --quiet");
    workshop.command(&line).spawn().unwrap()
}

/// The steps that there are checkpoints of.
fn checkpoints(workshop: &Workshop, out: &str) -> Vec<usize> {
    let entries = fs::read_dir(workshop.path(out).join("run/checkpoints"));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let mut steps: Vec<usize> = names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// Waits until there is a checkpoint of this step or a later one.
fn wait_for(workshop: &Workshop, out: &str, step: usize) {
    let begun = Instant::now();
    while checkpoints(workshop, out)
        .last()
        .is_none_or(|last| *last < step)
    {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "no checkpoint of step {step}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let workshop = workshop();
    for step in [2, 10] {
        let child = begin(&workshop, "killed");
        wait_for(&workshop, "killed", step);
        let output = kill(child);
        assert_eq!(output.status.code(), None, "killed, not finished");
        assert!(!workshop.path("killed/composition.json").exists());
    }
    let resumed = workshop
        .calm(&format!("{COMPOSE} --out killed --resume --json"))
        .json();
    assert_eq!(resumed["training"]["settings"]["seed"], 5);
    assert!(bridges(&workshop, "killed") == bridges(&workshop, "straight"));
    let again = workshop.calm(&format!("{COMPOSE} --out killed --resume"));
    again.done();
    assert!(bridges(&workshop, "killed") == bridges(&workshop, "straight"));
}

#[test]
fn an_interrupted_run_is_saved_and_says_how_to_go_on() {
    let workshop = workshop();
    let child = begin(&workshop, "interrupted");
    wait_for(&workshop, "interrupted", 4);
    let signal = format!("kill -INT {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &signal])
            .status()
            .unwrap()
            .success()
    );
    let run = Run::new("compose", child.wait_with_output().unwrap());
    assert_eq!(
        (run.code, run.stderr.lines().count()),
        (Some(130), 1),
        "{run:#?}"
    );
    assert!(
        run.stderr.starts_with("error: interrupted at step "),
        "{run:#?}"
    );
    assert!(run.stderr.contains("--resume"), "{run:#?}");
    let saved = *checkpoints(&workshop, "interrupted").last().unwrap();
    assert!(
        run.stderr.contains(&format!("at step {saved} of 120")),
        "{run:#?}"
    );

    workshop
        .calm(&format!("{COMPOSE} --out interrupted --resume"))
        .done();
    assert!(bridges(&workshop, "interrupted") == bridges(&workshop, "straight"));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_warning() {
    let workshop = workshop();
    let child = begin(&workshop, "damaged");
    wait_for(&workshop, "damaged", 6);
    kill(child);
    let newest = *checkpoints(&workshop, "damaged").last().unwrap();
    let path = format!("damaged/run/checkpoints/{newest:08}/parameters.bpk");
    workshop.write(&path, "not what it was");
    let run = workshop.calm(&format!("{COMPOSE} --out damaged --resume --quiet"));
    assert!(
        run.stderr
            .starts_with("warning: skipping a damaged checkpoint"),
        "{run:#?}"
    );
    run.done();
    assert!(bridges(&workshop, "damaged") == bridges(&workshop, "straight"));
}

#[test]
fn a_run_goes_on_only_as_what_it_is() {
    let workshop = workshop();
    let straight = |flags: &str| workshop.calm(&format!("{COMPOSE} --out straight {flags}"));
    straight("").refused(&["straight: holds a run", "--resume"]);
    straight("--resume --learning-rate 0.5").refused(&[
        "straight/run: ",
        "train.learning_rate: 0.001 there, 0.5 here",
    ]);
    straight("--resume --heads 8").refused(&["heads: 4 there, 8 here"]);
    let before = bridges(&workshop, "straight");
    workshop.write("data.jsonl", &common::example("ABC", "DE").repeat(24));
    straight("--resume").refused(&["data_sha256"]);
    assert!(bridges(&workshop, "straight") == before);
}

/// The weights of a checkpoint.
fn weights(workshop: &Workshop, out: &str) -> Vec<u8> {
    fs::read(workshop.path(out).join("model.safetensors")).unwrap()
}

#[test]
fn killed_baselines_and_controls_end_with_the_same_bytes() {
    let workshop = Workshop::new();
    let flags = [
        "--baseline lora",
        "--baseline finetune",
        "--mode encoder",
        "--random-augmenting 3",
    ];
    for (number, flags) in flags.into_iter().enumerate() {
        let bytes = if flags.starts_with("--baseline") {
            weights
        } else {
            bridges
        };
        let line = format!("{COMPOSE} {flags}");
        let (straight, killed) = (format!("straight{number}"), format!("killed{number}"));
        workshop.calm(&format!("{line} --out {straight}")).done();
        let resume = format!("{line} --out {killed} --resume --quiet");
        let child = workshop.command(&resume).spawn().unwrap();
        wait_for(&workshop, &killed, 4);
        assert_eq!(kill(child).status.code(), None, "killed, not finished");
        workshop.calm(&resume).done();
        assert!(
            bytes(&workshop, &killed) == bytes(&workshop, &straight),
            "{flags}"
        );
        // Another kind of run is another run.
        let other = format!("{COMPOSE} --out {killed} --resume");
        workshop
            .calm(&other)
            .refused(&["holds a run with other settings"]);
    }
}

#[test]
fn two_processes_do_not_train_in_one_directory() {
    let workshop = Workshop::new();
    let child = begin(&workshop, "shared");
    wait_for(&workshop, "shared", 2);
    let second = workshop.calm(&format!("{COMPOSE} --out shared --resume"));
    kill(child);
    second.refused(&["shared/run: another process is training in this directory"]);
}
