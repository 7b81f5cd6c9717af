//! A disk that is full ends a run in one line, and what was saved before is whole.
//!
//! Files that may not grow beyond a limit stand in for the disk: no test can fill a real one
//! without rights of its own.

use std::fs;
use std::process::Command;

use crate::common::{Run, Workshop};

const COMPOSE: &str = "compose --anchor anchor --augmenting specialist --train data.jsonl \
                       --connections [[2,1],[4,3]] --rows 4 --steps 300 --checkpoint-steps 20";

/// `calm` where no file may be larger than so many blocks of 512 bytes.
fn limited(workshop: &Workshop, line: &str, blocks: usize) -> Run {
    // The signal that comes with the limit is ignored, so that writing fails as on a full disk.
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_calm"));
    command.args(line.split_whitespace());
    command.current_dir(workshop.path("."));
    Run::new(line, command.output().unwrap())
}

/// A workshop with an undisturbed run, and the blocks that its largest file takes, to within a few
/// bytes: parameters have random numbers, which take more or fewer.
fn workshop() -> (Workshop, usize) {
    let workshop = Workshop::new();
    workshop.calm(&format!("{COMPOSE} --out straight")).done();
    let optimizer = workshop.path("straight/run/checkpoints/00000300/optimizer.bpk");
    let bytes = fs::metadata(optimizer).unwrap().len();
    (workshop, bytes.div_ceil(512) as usize)
}

/// Goes on with a run where there is room again.
fn assert_goes_on(workshop: &Workshop) {
    let events = workshop.text("full/run/events.jsonl");
    assert!(events.contains(r#""event":"failed""#), "{events}");
    workshop
        .calm(&format!("{COMPOSE} --out full --resume"))
        .done();
    assert!(workshop.bridges("full") == workshop.bridges("straight"));
}

#[test]
fn a_first_checkpoint_that_does_not_fit() {
    let (workshop, blocks) = workshop();
    let run = limited(
        &workshop,
        &format!("{COMPOSE} --out full --quiet"),
        blocks * 3 / 4,
    );
    let file = "full/run/checkpoints/00000020.tmp/optimizer.bpk: File too large";
    run.refused(&[file, "step 20 is not saved", "there is no checkpoint yet"]);
    let left = fs::read_dir(workshop.path("full/run/checkpoints")).unwrap();
    assert_eq!(left.count(), 0, "cleared away");
    assert_goes_on(&workshop);
}

#[test]
fn a_disk_that_fills_up_leaves_the_last_checkpoint_whole() {
    let (workshop, blocks) = workshop();
    let line = format!("{COMPOSE} --out full --quiet");
    let run = limited(&workshop, &line, blocks + 1);
    run.refused(&["full/run/metrics.jsonl: File too large", "Make room"]);
    let checkpoints = fs::read_dir(workshop.path("full/run/checkpoints")).unwrap();
    let steps = checkpoints.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let newest: usize = steps.max().unwrap().parse().unwrap();
    assert!(newest >= 20);
    let last = format!("the last good checkpoint is that of step {newest}");
    run.refused(&[&last]);
    assert_goes_on(&workshop);
}

#[test]
fn an_experiment_loses_nothing_of_what_was_computed() {
    let workshop = Workshop::new();
    workshop.write(
        "letters.toml",
        r#"layout = 1
title = "Letters"
seeds = 0
models = { anchor.source = "anchor", specialist.source = "specialist" }
data.rows.path = "data.jsonl"
systems.alone.model = "anchor"
systems.both.compose = { anchor = "anchor", augmenting = "specialist", train = "rows", connections = "[[2,1],[4,3]]", steps = 9 }
tasks.letters = { file = "rows", max-new-tokens = 4 }
"#,
    );
    let line = "experiment run letters.toml --results results --quiet";
    // The anchor alone is evaluated; the bridges do not fit.
    limited(&workshop, line, 30).refused(&["both, seed 0: ", "File too large"]);
    let cells = || {
        fs::read_dir(workshop.path("results/cells"))
            .unwrap()
            .count()
    };
    assert_eq!(cells(), 1);
    workshop.calm(line).done();
    assert_eq!(cells(), 2);
}
