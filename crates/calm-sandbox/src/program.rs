//! A program with its tests, and the verdict on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A program, and the tests that it is to pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Program {
    /// The generated code. It is not trusted; the other fields are.
    pub code: String,
    /// Imports and helpers that the tests need besides the program.
    pub setup: String,
    /// Statements, some of which raise an exception if the program is wrong.
    pub tests: String,
    /// Names of the program that the tests can use.
    pub names: Vec<String>,
    /// A program that is known to be right, or nothing. The tests can also use the names that it
    /// defines on its top level, and the modules that it imports.
    pub reference: String,
}

/// The result of judging a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The tests ran to their end.
    Passed,
    /// A test failed, or the program exited before the tests did.
    Failed,
    /// It used too much processor or wall-clock time.
    OutOfTime,
    /// It printed too much.
    OutOfOutput,
    /// It wrote too much to files.
    OutOfDisk,
    /// The tests are invalid, or pass a value that cannot cross from one interpreter to the other.
    Unusable,
}

/// How a program was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The result.
    pub outcome: Outcome,
    /// Reason for any result but a pass, in one line; otherwise empty.
    pub reason: String,
    /// The beginning of the program's output.
    pub printed: String,
    /// Wall-clock time.
    pub elapsed: Duration,
}

impl Verdict {
    /// Whether the tests were seen to run to their end.
    pub fn is_pass(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}
