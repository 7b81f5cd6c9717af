//! Runs that are killed, interrupted or damaged go on as if nothing had happened.

use std::path::Path;
use std::process::{Child, Command, Output};
use std::time::Instant;
use std::{env, fs, thread};

use crate::common::{Run, Workshop, example, kill, wait_until};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --accumulation 2 --steps 120 \
                       --checkpoint-steps 2 --seed 5";

/// Everything that a process must not lose: the best checkpoint, patience, skipped steps.
const VALIDATED: &str = "--validation held-out.jsonl --validation-steps 7 --patience 9 \
                         --validation-metric exact --validation-examples 3 --skip-not-finite \
                         --schedule cosine --keep-checkpoints 3";

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
    wait_until(&format!("a checkpoint of step {step}"), || {
        checkpoints(workshop, out).last() >= Some(&step)
    });
}

#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let workshop = workshop();
    for step in [2, 10] {
        let child = begin(&workshop, "killed");
        wait_for(&workshop, "killed", step);
        let output = kill(child);
        assert_eq!(output.status.code(), None, "killed, not finished");
    }
    // There were checkpoints before the last one, and so there is a composition.
    let so_far = workshop.calm("generate killed --prompt ABC --max-new-tokens 2");
    so_far.done();
    let resumed = workshop
        .calm(&format!("{COMPOSE} --out killed --resume --json"))
        .json();
    assert_eq!(resumed["training"]["settings"]["seed"], 5);
    assert!(workshop.bridges("killed") == workshop.bridges("straight"));
    let again = workshop.calm(&format!("{COMPOSE} --out killed --resume"));
    again.done();
    assert!(workshop.bridges("killed") == workshop.bridges("straight"));
}

/// `CALM_KILLS` asks for another number.
const KILLS: usize = 4;

#[test]
fn runs_killed_at_random_moments_end_with_the_same_bytes() {
    assert_survives(kill, &[None]);
}

#[test]
fn runs_interrupted_at_random_moments_end_with_the_same_bytes() {
    // Before it listens for it, the signal ends a process as it ends any other.
    assert_survives(interrupt, &[Some(130), None]);
}

/// Ends runs at random moments, from before the first step to behind the last, each time with one
/// of these codes, and goes on with them.
fn assert_survives(end: impl Fn(Child) -> Output, codes: &[Option<i32>]) {
    let wanted = env::var("CALM_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let workshop = Workshop::new();
    workshop.write("held-out.jsonl", &example("DEFG", "HI").repeat(4));
    let line = format!("{COMPOSE} {VALIDATED}");
    let begun = Instant::now();
    workshop.calm(&format!("{line} --out straight")).done();
    let longest = begun.elapsed().mul_f64(0.6);

    let mut random = ChaCha8Rng::seed_from_u64(wanted as u64);
    let (mut ended, mut run) = (0, 0);
    while ended < wanted {
        let out = format!("ended{run}");
        let resume = format!("{line} --out {out} --resume --quiet");
        let child = workshop.command(&resume).spawn().unwrap();
        thread::sleep(longest.mul_f64(random.random()));
        let code = end(child).status.code();
        let is_done = code == Some(0);
        assert!(is_done || codes.contains(&code), "{code:?}");
        ended += usize::from(!is_done);
        if is_done || ended == wanted {
            workshop.calm(&resume).done();
            for file in ["bridge.safetensors", "run/validation.jsonl"] {
                let read = |out: &str| comparable(&workshop.path(out).join(file));
                assert!(read(&out) == read("straight"), "{file} of {out}");
            }
            run += 1;
        }
    }
}

/// Ctrl-C.
fn interrupt(child: Child) -> Output {
    let signal = format!("kill -INT {}", child.id());
    let sent = Command::new("sh").args(["-c", &signal]).status();
    assert!(sent.unwrap().success());
    child.wait_with_output().unwrap()
}

/// A file without the times in it.
fn comparable(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension() != Some("jsonl".as_ref()) {
        return bytes;
    }
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let timeless = lines.map(|line| {
        let mut line: Value = serde_json::from_slice(line).unwrap();
        line["seconds"] = Value::Null;
        line.to_string()
    });
    timeless.collect::<String>().into_bytes()
}

#[test]
fn an_interrupted_run_is_saved_and_says_how_to_go_on() {
    let workshop = workshop();
    let child = begin(&workshop, "interrupted");
    wait_for(&workshop, "interrupted", 4);
    let run = Run::new("compose", interrupt(child));
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
    assert!(workshop.bridges("interrupted") == workshop.bridges("straight"));
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
    let warning =
        format!("warning: the checkpoint of step {newest} is damaged, so the run goes on");
    assert!(run.stderr.starts_with(&warning), "{run:#?}");
    run.done();
    let events = workshop.text("damaged/run/events.jsonl");
    assert!(
        events.contains(&format!(r#""event":"fell-back","from":{newest}"#)),
        "{events}"
    );
    assert!(workshop.bridges("damaged") == workshop.bridges("straight"));
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
    let before = workshop.bridges("straight");
    workshop.write("data.jsonl", &example("ABC", "DE").repeat(24));
    straight("--resume").refused(&["data_sha256"]);
    assert!(workshop.bridges("straight") == before);
}

/// The weights of a checkpoint.
fn weights(workshop: &Workshop, out: &str) -> Vec<u8> {
    workshop.bytes(&format!("{out}/model.safetensors"))
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
            Workshop::bridges
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
