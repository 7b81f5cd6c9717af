//! Remains of a killed harness, requirements of a sandbox, and programs side by side.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use calm_sandbox::{Limits, Sandbox, SandboxOptions};

use crate::{doubling, sandbox, sandbox_with};

/// Working directories of sandboxes in a directory.
fn working_directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths
        .filter(|path| name(path).starts_with("calm-sandbox-"))
        .collect()
}

/// A harness whose program does not end. The next test starts and kills it.
#[test]
#[ignore = "a part of another test"]
fn a_harness() {
    let limits = Limits {
        cpu_s: 60,
        wall_s: 60,
        ..Limits::default()
    };
    let sandbox = sandbox_with(limits).unwrap();
    let code = "import os\nprint(os.getpid(), file=open('here', 'w'))\nwhile True: pass\n";
    let _ = sandbox.judge(&doubling(code));
}

#[test]
fn what_a_killed_harness_leaves_is_removed_by_the_next() {
    if sandbox().is_none() {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let start = |test: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored"]);
        command.env("TMPDIR", temporary.path());
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut first = start("harness::a_harness");
    wait_until(|| running(temporary.path()).len() == 1);
    let of_first = running(temporary.path());
    // A second one at the same time leaves it alone.
    let mut second = start("harness::a_harness");
    wait_until(|| running(temporary.path()).len() == 2);
    let both = running(temporary.path());
    let program = processes(&of_first[0]);
    assert!(program[0].exists());
    end(&mut first);
    assert!(of_first[0].exists(), "nobody was there to remove it");
    wait_until(|| !program[0].exists());
    let mut third = start("harness::a_harness");
    wait_until(|| !of_first[0].exists());
    assert!(
        both.iter()
            .all(|directory| directory.exists() || *directory == of_first[0])
    );
    end(&mut second);
    end(&mut third);
}

/// Working directories whose program runs.
fn running(temporary: &Path) -> Vec<PathBuf> {
    let is_running = |directory: &PathBuf| !processes(directory).is_empty();
    working_directories(temporary)
        .into_iter()
        .filter(is_running)
        .collect()
}

/// Paths in /proc of the programs of a sandbox.
fn processes(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path().join("work/here"));
    let said = files.filter_map(|file| fs::read_to_string(file).ok());
    let numbers = said.filter_map(|said| Some(said.strip_suffix('\n')?.to_owned()));
    numbers
        .map(|number| Path::new("/proc").join(number))
        .collect()
}

fn wait_until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30));
        thread::sleep(Duration::from_millis(10));
    }
}

/// Kills a harness.
fn end(harness: &mut Child) {
    harness.kill().unwrap();
    harness.wait().unwrap();
}

#[test]
fn without_a_launcher_there_is_no_sandbox() {
    let with = |python: Option<&str>, launcher: &str| {
        let options = SandboxOptions {
            python: python.map(PathBuf::from),
            launcher: Some(launcher.into()),
            ..SandboxOptions::default()
        };
        Sandbox::new(options).unwrap_err().to_string()
    };
    let message = with(Some("/nowhere/python"), "/bin/true");
    assert!(
        message.starts_with("/nowhere/python: can't be started"),
        "{message}"
    );
    let message = with(Some("/bin/true"), "/bin/true");
    assert!(
        message.contains("does not answer as Python does"),
        "{message}"
    );
    if sandbox().is_some() {
        let message = with(None, "/bin/true");
        assert!(
            message.starts_with("/bin/true: is no launcher of sandboxes"),
            "{message}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn without_its_walls_there_is_no_sandbox_unless_one_insists() {
    use std::os::unix::fs::PermissionsExt;

    if sandbox().is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let launcher = directory.path().join("launcher");
    let layers = r#"{"landlock":0,"seccomp":true,"namespaces":true,"limits":true}"#;
    fs::write(&launcher, format!("#!/bin/sh\necho '{layers}'\n")).unwrap();
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
    let options = SandboxOptions {
        launcher: Some(launcher),
        ..SandboxOptions::default()
    };
    let error = Sandbox::new(options.clone()).unwrap_err().to_string();
    assert!(error.contains("there is no Landlock") && error.contains("--unsafe-run-code"));
    let insisting = SandboxOptions {
        unsafe_run_code: true,
        ..options
    };
    assert_eq!(Sandbox::new(insisting).unwrap().layers().landlock, 0);
}

#[test]
fn programs_do_not_disturb_each_other() {
    let Some(sandbox) = sandbox() else { return };
    let right = doubling("def double(x):\n    open('x', 'w').write('x')\n    return 2 * x\n");
    let others = [
        doubling("while True:\n    print('x' * 1000)\n"),
        doubling("import os\nos.kill(-1, 9)\n"),
        doubling("x = []\nwhile True:\n    x.append(' ' * (1 << 24))\n"),
    ];
    thread::scope(|scope| {
        for other in &others {
            scope.spawn(|| assert!(!sandbox.judge(other).unwrap().is_pass()));
        }
        for _ in 0..8 {
            let judged = scope.spawn(|| sandbox.judge(&right).unwrap());
            let verdict = judged.join().unwrap();
            assert!(verdict.is_pass(), "{verdict:?}");
        }
    });
}
