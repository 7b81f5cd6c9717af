//! Standard output and standard error, also where nobody reads them.

use std::process::Stdio;

use crate::common::{Run, Workshop};

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let workshop = Workshop::new();
    for line in [
        "doctor",
        "--help",
        "compose --help",
        "inspect anchor",
        "verify --help",
    ] {
        let mut child = workshop.command(line).spawn().unwrap();
        drop(child.stdout.take());
        let run = Run::new(line, child.wait_with_output().unwrap());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:#?}");
    }
}

#[test]
fn progress_that_nobody_reads_does_not_stop_training() {
    let workshop = Workshop::new();
    let line =
        "compose --anchor anchor --augmenting specialist --train data.jsonl --steps 3 --out c";
    let mut child = workshop.command(line).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(workshop.path("c/composition.json").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let workshop = Workshop::new();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = workshop.command("doctor");
    let run = Run::new("doctor", command.stdout(full).output().unwrap());
    run.refused(&["standard output: "]);
}

#[test]
fn progress_is_no_part_of_the_answer() {
    let workshop = Workshop::new();
    let compose = "compose --anchor anchor --augmenting specialist --train data.jsonl --steps 3";
    let loud = workshop.calm(&format!("{compose} --out loud --json"));
    assert!(
        loud.stderr.contains("\ncompose: 3 of 3, loss "),
        "{loud:#?}"
    );
    assert_eq!(loud.json()["out"], "loud");
    let quiet = workshop.calm(&format!("--quiet {compose} --out quiet"));
    assert_eq!(quiet.stderr, "");
    assert!(quiet.done().starts_with("written to"));
}

#[test]
fn the_doctor_knows_every_backend() {
    let workshop = Workshop::new();
    let json = workshop.calm("doctor --json").json();
    let backends = json["backends"].as_array().unwrap();
    assert_eq!(backends.len(), 6);
    for backend in backends {
        let has_devices = !backend["devices"].as_array().unwrap().is_empty();
        assert_eq!(has_devices, backend["problem"].is_null(), "{backend}");
    }
    let text = workshop.calm("doctor").done();
    assert!(
        text.contains("threads") && text.contains("memory"),
        "{text}"
    );
}

#[test]
fn without_a_verb_there_is_help() {
    let workshop = Workshop::new();
    let mut command = workshop.command("");
    let run = Run::new("", command.stdin(Stdio::null()).output().unwrap());
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("Usage: calm"), "{run:#?}");
    let version = workshop.calm("--version").done();
    assert_eq!(version, format!("calm {}\n", env!("CARGO_PKG_VERSION")));
}
