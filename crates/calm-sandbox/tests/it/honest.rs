//! Programs that try to do their task.

use std::path::Path;

use calm_sandbox::{Outcome, Program};

use crate::{attempt, doubling, fails, sandbox};

#[test]
fn the_right_program_passes() {
    let Some(verdict) = attempt("def double(x):\n    return 2 * x\n") else {
        return;
    };
    assert!(verdict.is_pass(), "{verdict:?}");
}

#[test]
fn a_wrong_program_fails() {
    fails("def double(x):\n    return x\n", "AssertionError");
    fails("def double(x):\n    pass\n", "AssertionError");
    fails("def double(x)\n    return 2 * x\n", "SyntaxError");
    fails("def triple(x):\n    return 3 * x\n", "NameError");
    fails("def double(x):\n    raise KeyError(x)\n", "KeyError");
    fails("", "NameError");
}

#[test]
fn values_of_all_kinds_go_through() {
    let Some(sandbox) = sandbox() else { return };
    let program = Program {
        code: "\
import collections
def same(x): return x
def counted(x): return collections.Counter(x)
def sort(values): values.sort()
def numbers():
    yield from range(3)
def fail(): raise ValueError('seven')
class Node:
    def __init__(self, value): self.value, self.next = value, None
def total(node):
    return 0 if node is None else node.value + total(node.next)
"
        .to_owned(),
        tests: "\
for value in [None, True, 1, 10 ** 5000, 1.5, float('inf'), 2j, 'é\\ud800', b'\\xff', [1, (2, {3})],
              {(1, 2): frozenset([3])}, bytearray(b'x')]:
    assert same(value) == value and type(same(value)) is type(value), value
assert same(float('nan')) != 0
assert same(0.1 + 0.2) == 0.1 + 0.2
assert same(True) is True and same(None) is None
assert counted('aab') == {'a': 2, 'b': 1}
values = [3, 1, 2]
sort(values)
assert values == [1, 2, 3]
assert list(numbers()) == [0, 1, 2] and sum(numbers()) == 3
try:
    fail()
    assert False
except ValueError as error:
    assert str(error) == 'seven'
head = Node(1)
head.next = Node(2)
assert total(head) == 3 and head.next.value == 2
assert same(int) is not None
"
        .to_owned(),
        reference: "def same(x): ...\ndef counted(x): ...\ndef sort(x): ...\ndef numbers(): ...\n\
                    def fail(): ...\nclass Node: ...\ndef total(x): ...\n"
            .to_owned(),
        ..Program::default()
    };
    let verdict = sandbox.judge(&program).unwrap();
    assert!(verdict.is_pass(), "{verdict:?}");
}

#[test]
fn tests_that_are_none_are_not_the_programs_fault() {
    let Some(sandbox) = sandbox() else { return };
    for tests in ["assert double(", "assert double(lambda: 3) == 4"] {
        let program = Program {
            tests: tests.to_owned(),
            ..doubling("def double(x):\n    return 2 * x\n")
        };
        let verdict = sandbox.judge(&program).unwrap();
        assert_eq!(verdict.outcome, Outcome::Unusable, "{verdict:?}");
    }
}

#[test]
fn a_program_may_use_its_own_directory() {
    let Some(verdict) = attempt(
        "import os, tempfile\n\
         def double(x):\n\
         \x20   with open('note', 'w') as f: f.write(str(2 * x))\n\
         \x20   with tempfile.TemporaryFile() as f: f.write(b'x')\n\
         \x20   with open('note') as f: result = int(f.read())\n\
         \x20   os.remove('note')\n\
         \x20   print(os.getcwd())\n\
         \x20   open('left', 'w')\n\
         \x20   return result\n",
    ) else {
        return;
    };
    assert!(verdict.is_pass(), "{verdict:?}");
    let directory = verdict.printed.lines().next().unwrap();
    assert!(directory.contains("calm-sandbox-"), "{verdict:?}");
    assert!(!Path::new(directory).exists(), "{verdict:?}");
}

#[test]
fn the_environment_is_empty() {
    let Some(verdict) =
        attempt("import os\ndef double(x):\n    print(sorted(os.environ))\n    return 2 * x\n")
    else {
        return;
    };
    assert!(verdict.is_pass(), "{verdict:?}");
    let names = verdict.printed.lines().next().unwrap();
    assert!(
        ["['PYTHONHASHSEED']", "['LC_CTYPE', 'PYTHONHASHSEED']"].contains(&names),
        "{names}"
    );
}
