//! Programs that exceed their limits.

use calm_sandbox::{Limits, Outcome};

use crate::{attempt, doubling, fails, is_refused, sandbox_with};

#[test]
fn an_endless_loop_ends() {
    let Some(sandbox) = sandbox_with(Limits {
        cpu_s: 1,
        ..Limits::default()
    }) else {
        return;
    };
    for code in [
        "while True:\n    pass\n",
        "def double(x):\n    while True: pass\n",
    ] {
        let verdict = sandbox.judge(&doubling(code)).unwrap();
        assert_eq!(verdict.outcome, Outcome::OutOfTime, "{verdict:?}");
    }
}

#[test]
fn sleeping_does_not_help() {
    let Some(sandbox) = sandbox_with(Limits {
        wall_s: 1,
        ..Limits::default()
    }) else {
        return;
    };
    let code = "import time\ndef double(x):\n    time.sleep(30)\n    return 2 * x\n";
    let verdict = sandbox.judge(&doubling(code)).unwrap();
    assert_eq!(verdict.outcome, Outcome::OutOfTime, "{verdict:?}");
    assert!(verdict.elapsed.as_secs() < 3, "{verdict:?}");
}

#[test]
fn a_caught_signal_is_followed_by_another() {
    let Some(sandbox) = sandbox_with(Limits {
        cpu_s: 1,
        ..Limits::default()
    }) else {
        return;
    };
    let code = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass\n";
    let verdict = sandbox.judge(&doubling(code)).unwrap();
    assert_eq!(verdict.outcome, Outcome::OutOfTime, "{verdict:?}");
}

#[test]
fn memory_is_limited() {
    fails(
        "x = []\nwhile True:\n    x.append(' ' * (1 << 24))\n",
        "MemoryError",
    );
    fails(
        "def double(x):\n    return [0] * (1 << 40)\n",
        "MemoryError",
    );
    // The memory of the interpreter of the tests cannot be filled either.
    fails("def double(x):\n    return 'x' * (1 << 26)\n", "no answer");
}

#[test]
fn output_is_limited() {
    let Some(verdict) = attempt("while True:\n    print('x' * 1000)\n") else {
        return;
    };
    assert_eq!(verdict.outcome, Outcome::OutOfOutput, "{verdict:?}");
    assert!(verdict.printed.starts_with("xxx") && verdict.printed.len() <= 4096);
    // One byte too much fails every time, though the answers are right and come at once.
    let code = "print('x' * (1 << 20), end='')\ndef double(x): return 2 * x\n";
    assert!(attempt(code).unwrap().is_pass());
    let code = code.replace(", end=''", "");
    for _ in 0..5 {
        let verdict = attempt(&code).unwrap();
        assert_eq!(verdict.outcome, Outcome::OutOfOutput, "{verdict:?}");
    }
}

#[test]
fn files_are_limited() {
    is_refused("f = open('x', 'wb')\nfor _ in range(100): f.write(bytes(1 << 20))");
    let Some(verdict) = attempt(
        "import itertools\nfor i in itertools.count():\n    with open(str(i), 'wb') as f:\n        f.write(bytes(8 << 20))\n",
    ) else {
        return;
    };
    assert_eq!(verdict.outcome, Outcome::OutOfDisk, "{verdict:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn files_without_a_name_count_as_well() {
    for make in [
        "open('x', 'wb')\n    os.remove('x')",
        "os.fdopen(os.open('.', os.O_TMPFILE | os.O_RDWR), 'wb')",
    ] {
        let code = format!(
            "import os, time\nfiles = []\nfor _ in range(20):\n    file = {make}\n    \
             file.write(bytes(8 << 20))\n    files.append(file)\ntime.sleep(5)\n"
        );
        let Some(verdict) = attempt(&code) else {
            return;
        };
        assert_eq!(verdict.outcome, Outcome::OutOfDisk, "{verdict:?}");
    }
}

#[test]
fn limits_cannot_be_raised() {
    for limit in ["RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE"] {
        is_refused(&format!(
            "import resource\ntry:\n    resource.setrlimit(resource.{limit}, (1 << 40, 1 << 40))\n\
             except ValueError as error:\n    raise OSError from error"
        ));
    }
}
