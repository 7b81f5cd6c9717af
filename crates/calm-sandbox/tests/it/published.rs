//! Published problems with their solutions, from the directory in the environment variable
//! CALM_BENCHMARKS.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use calm_sandbox::{Limits, Outcome, Program, Sandbox};
use serde_json::Value;

use crate::sandbox_with;

/// Published problems, if their directory is known.
fn published(file: &str) -> Option<Vec<Value>> {
    let Some(directory) = std::env::var_os("CALM_BENCHMARKS") else {
        eprintln!("skipped: CALM_BENCHMARKS names no directory of published problems");
        return None;
    };
    let path = Path::new(&directory).join(file);
    let read = "import gzip, json, sys\n\
                path = sys.argv[1]\n\
                text = (gzip.open if path.endswith('.gz') else open)(path, 'rt').read()\n\
                print(json.dumps([json.loads(l) for l in text.splitlines()] if '.jsonl' in path else json.loads(text)))";
    let output = Command::new("python3")
        .args(["-c", read])
        .arg(path)
        .output()
        .unwrap();
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn text(record: &Value, field: &str) -> String {
    record[field].as_str().unwrap().to_owned()
}

fn human_eval(record: &Value, body: &str) -> Program {
    let entry_point = text(record, "entry_point");
    Program {
        code: text(record, "prompt") + body,
        setup: text(record, "prompt"),
        tests: format!("{}\ncheck({entry_point})\n", text(record, "test")),
        names: vec![entry_point],
        reference: String::new(),
    }
}

fn mbpp(record: &Value, code: String) -> Program {
    let lines = |field: &str| {
        let lines = record[field].as_array().unwrap().iter();
        lines
            .map(|line| line.as_str().unwrap().to_owned() + "\n")
            .collect::<String>()
    };
    Program {
        code,
        setup: lines("test_imports"),
        tests: lines("test_list"),
        names: Vec::new(),
        reference: text(record, "code"),
    }
}

/// Number of programs that pass, judged two at a time.
fn passing(sandbox: &Sandbox, programs: &[Program]) -> usize {
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = sandbox.judge(program).unwrap();
                    assert_ne!(
                        verdict.outcome,
                        Outcome::Unusable,
                        "{verdict:?} {program:?}"
                    );
                    if verdict.is_pass() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    passed.into_inner()
}

#[test]
fn all_solutions_of_human_eval_pass() {
    let Some(sandbox) = sandbox_with(Limits::default()) else {
        return;
    };
    let Some(records) = published("humaneval/HumanEval.jsonl.gz") else {
        return;
    };
    assert_eq!(records.len(), 164);
    let solution = |record| human_eval(record, &text(record, "canonical_solution"));
    let solutions: Vec<Program> = records.iter().map(solution).collect();
    assert_eq!(passing(&sandbox, &solutions), 164);
    let empty: Vec<Program> = records
        .iter()
        .map(|record| human_eval(record, "    pass\n"))
        .collect();
    assert_eq!(passing(&sandbox, &empty), 0);
}

/// Prints its time, a figure of docs/evaluation.md.
#[test]
#[ignore = "takes a minute; run by hand with --ignored for the figure in docs/evaluation.md"]
fn ten_of_each_solution_pass() {
    let Some(sandbox) = sandbox_with(Limits::default()) else {
        return;
    };
    let Some(records) = published("humaneval/HumanEval.jsonl.gz") else {
        return;
    };
    let solution = |record| human_eval(record, &text(record, "canonical_solution"));
    let solutions: Vec<Program> = records.iter().map(solution).collect();
    let ten = vec![solutions; 10].concat();
    let started = Instant::now();
    assert_eq!(passing(&sandbox, &ten), ten.len());
    eprintln!("{} programs in {:.1?}", ten.len(), started.elapsed());
}

#[test]
fn all_solutions_of_mbpp_pass() {
    let Some(sandbox) = sandbox_with(Limits::default()) else {
        return;
    };
    let Some(records) = published("mbpp/sanitized-mbpp_first40.json") else {
        return;
    };
    assert_eq!(records.len(), 40);
    let solutions: Vec<Program> = records
        .iter()
        .map(|record| mbpp(record, text(record, "code")))
        .collect();
    assert_eq!(passing(&sandbox, &solutions), 40);
    let empty: Vec<Program> = records
        .iter()
        .map(|record| mbpp(record, emptied(record)))
        .collect();
    assert_eq!(passing(&sandbox, &empty), 0);
}

/// The functions of a solution, with empty bodies.
fn emptied(record: &Value) -> String {
    let code = text(record, "code");
    let heads = code.lines().filter(|line| line.starts_with("def "));
    heads
        .map(|head| format!("{}\n    pass\n", head.trim_end()))
        .collect()
}
