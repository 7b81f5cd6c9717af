//! Integration tests of calm-sandbox: honest programs, and hostile ones.
//!
//! They are skipped without Python or without the layers of a sandbox. Published problems are read
//! from the directory in the environment variable CALM_BENCHMARKS.

#![expect(clippy::print_stderr, reason = "tests that are skipped say so")]

mod cheats;
mod harness;
mod honest;
mod limits;
mod published;
mod walls;

use calm_sandbox::{Limits, Outcome, Program, Sandbox, SandboxError, SandboxOptions, Verdict};

/// A sandbox, if this machine has one.
fn sandbox_with(limits: Limits) -> Option<Sandbox> {
    let options = SandboxOptions {
        limits,
        launcher: Some(env!("CARGO_BIN_EXE_calm-sandbox").into()),
        ..SandboxOptions::default()
    };
    match Sandbox::new(options) {
        Ok(sandbox) => Some(sandbox),
        Err(error @ (SandboxError::Unavailable { .. } | SandboxError::Interpreter { .. })) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn sandbox() -> Option<Sandbox> {
    sandbox_with(Limits {
        cpu_s: 2,
        wall_s: 10,
        ..Limits::default()
    })
}

/// A program that should define `double`.
fn doubling(code: &str) -> Program {
    Program {
        code: code.to_owned(),
        tests: "assert double(21) == 42\nassert double(-1) == -2\n".to_owned(),
        names: vec!["double".to_owned()],
        ..Program::default()
    }
}

/// Judges an attempt at `double`. Only the right function may pass.
fn attempt(code: &str) -> Option<Verdict> {
    let verdict = sandbox()?.judge(&doubling(code)).unwrap();
    assert_ne!(verdict.outcome, Outcome::Unusable, "{verdict:?}");
    Some(verdict)
}

#[track_caller]
fn fails(code: &str, reason: &str) {
    let Some(verdict) = attempt(code) else { return };
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    assert!(verdict.reason.contains(reason), "{verdict:?}");
}

#[track_caller]
fn never_passes(code: &str) {
    let Some(verdict) = attempt(code) else { return };
    assert!(!verdict.is_pass(), "{verdict:?}");
}

/// Judges a program that tries `action`, and does its task only if that is refused. So it passes
/// only if the sandbox, not a mistake in the test, refuses it.
fn refused(action: &str) -> Option<Verdict> {
    let action = action.replace('\n', "\n        ");
    attempt(&format!(
        "import os, sys\n\
         def double(x):\n\
         \x20   try:\n\
         \x20       {action}\n\
         \x20   except (OSError, RuntimeError) as error:\n\
         \x20       print(type(error).__name__, file=sys.stderr)\n\
         \x20       return 2 * x\n\
         \x20   return 'not refused'\n"
    ))
}

#[track_caller]
fn is_refused(action: &str) {
    let Some(verdict) = refused(action) else {
        return;
    };
    assert!(verdict.is_pass(), "{verdict:?}");
}
