//! Wrong programs that try to pass.

use calm_sandbox::{Outcome, Program};

use crate::{attempt, doubling, fails, never_passes, sandbox};

#[test]
fn the_pass_mark_is_not_believed() {
    let mark = r#"{"outcome": "passed", "reason": ""}"#;
    let print = format!(
        "import os, sys\nfor f in (1, 2, 3, 4, 5):\n    try:\n        os.write(f, b'{mark}\\n')\n    except OSError:\n        pass\n"
    );
    fails(&format!("{print}os._exit(0)\n"), "no answer");
    fails(&format!("{print}sys.exit(0)\n"), "no answer");
    fails(&format!("print('{mark}', flush=True)\n"), "NameError");
}

#[test]
fn ending_early_is_no_pass() {
    fails("import os\nos._exit(0)\n", "ended before the tests did");
    fails(
        "def double(x):\n    import os\n    os._exit(0)\n",
        "ended before the tests did",
    );
    fails("import sys\nsys.exit(0)\n", "SystemExit");
    fails("def double(x):\n    raise SystemExit(0)\n", "SystemExit");
    fails("def double(x):\n    exit()\n", "NameError");
    fails("raise KeyboardInterrupt\n", "KeyboardInterrupt");
    fails(
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n",
        "",
    );
}

#[test]
fn standard_output_decides_nothing() {
    let right = "def double(x):\n    return 2 * x\n";
    for before in [
        "import sys\nsys.stdout.close()\nsys.stderr.close()\n",
        "import os\nos.close(1)\nos.close(2)\n",
        "import sys\nsys.stdout = None\n",
        "print('x' * 100000)\n",
    ] {
        let Some(verdict) = attempt(&format!("{before}{right}")) else {
            return;
        };
        assert!(verdict.is_pass(), "{verdict:?}");
        let wrong = right.replace('2', "3");
        let verdict = attempt(&format!("{before}{wrong}")).unwrap();
        assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
    }
    // It closes every pipe, and so cannot answer.
    let Some(verdict) = attempt("import os\nos.closerange(0, 60)\n") else {
        return;
    };
    assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
}

#[test]
fn builtins_and_tests_cannot_be_replaced() {
    // It equals everything, is true, and has every attribute.
    let everything = "\
class Everything(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
";
    fails(
        &format!("{everything}def double(x): return Everything(7)\n"),
        "AssertionError",
    );
    let object = everything
        .replace("(int)", "")
        .replace("int.__hash__", "object.__hash__");
    fails(
        &format!("{object}def double(x): return Everything()\n"),
        "AssertionError",
    );
    fails(
        "import builtins\nbuiltins.AssertionError = Exception\nbuiltins.int = builtins.abs = lambda x: 42\n\
         def check(candidate): pass\ndef double(x): return 42\n",
        "",
    );
    // A program may change its own interpreter.
    never_passes(
        "import gc, sys, types\n\
         for thing in gc.get_objects():\n\
         \x20   if isinstance(thing, types.FunctionType) and thing.__module__ == '__main__':\n\
         \x20       try:\n\
         \x20           thing.__code__ = (lambda *a, **k: ['value', 42, []]).__code__\n\
         \x20       except ValueError:\n\
         \x20           pass\n\
         def double(x): return 42\n",
    );
    never_passes(
        "import sys\nframe = sys._getframe()\n\
         while frame:\n    frame.f_globals['encode'] = lambda *a: 42\n    frame = frame.f_back\n\
         def double(x): return 42\n",
    );
}

#[test]
fn answers_that_are_none_are_no_pass() {
    // A program that finds the pipe can only send values that a function could return.
    let write = |line: &str| {
        format!(
            "import os\nfor f in range(3, 20):\n    try:\n        os.write(f, b'''{line}\\n''' * 9)\n    except OSError:\n        pass\n\
             def double(x): return 3\n"
        )
    };
    for line in [
        r#"["value", 41, []]"#,
        r#"["value", {"a": 1}, []]"#,
        r#"["value", ["object", -1], []]"#,
        r#"["value", ["nothing", 1], []]"#,
        r#"["raised", 3, 4]"#,
        r#"["raised", [["x"]], 4]"#,
        r#"[]"#,
        r#"3"#,
        "x",
    ] {
        fails(&write(line), "");
    }
    fails(
        "def double(x):\n    y = []\n    for _ in range(100000): y = [y]\n    return y\n",
        "",
    );
}

/// Some published tests catch all exceptions.
#[test]
fn a_test_that_catches_everything_helps_nobody() {
    let Some(sandbox) = sandbox() else { return };
    let judged = |code: &str| {
        let tests = "try:\n    assert double(21) == 42\nexcept:\n    pass\n".to_owned();
        let program = Program {
            tests,
            ..doubling(code)
        };
        sandbox.judge(&program).unwrap()
    };
    assert!(judged("def double(x): return 3\n").is_pass());
    for code in [
        "def double(x):\n    import os\n    os._exit(0)\n",
        "def double(x):\n    import os\n    os.close(4)\n    return 42\n",
        "def double(x):\n    while True: pass\n",
    ] {
        assert!(!judged(code).is_pass(), "{code}");
    }
}

#[test]
fn what_runs_later_or_between_decides_nothing() {
    let answer = r#"b'["value", 42, []]\n'"#;
    for code in [
        format!(
            "import atexit, os\natexit.register(os.write, 4, {answer})\ndef double(x): return 3\n"
        ),
        format!(
            "import os, signal\nsignal.signal(signal.SIGALRM, lambda *_: os.write(4, {answer}))\n\
             signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\ndef double(x): return 3\n"
        ),
        "import sys\nsys.settrace(lambda *_: None)\nsys.modules['json'].dumps = lambda _: \
         '[\"value\", 42, []]'\ndef double(x): return 3\n"
            .to_owned(),
    ] {
        never_passes(&code);
    }
    // It finds neither the tests nor their expected values.
    fails(
        "import gc, sys\ndef double(x):\n    frame, places = sys._getframe(), gc.get_objects()\n    \
         while frame:\n        places.append(dict(frame.f_locals))\n        frame = frame.f_back\n    \
         return 2 * x if ' '.join(['assert', 'double']) in repr(places) else 0\n",
        "AssertionError",
    );
}
