//! HumanEval (arXiv 2107.03374) and MBPP (arXiv 2108.07732): programs to be written, with tests.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::DataError;
use crate::corpus::read::{json, json_lines};

/// A function to be completed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HumanEval {
    /// Such as `HumanEval/0`.
    pub task_id: String,
    /// A program up to the body of the function.
    pub prompt: String,
    /// Name of the function.
    pub entry_point: String,
    /// A correct body.
    pub canonical_solution: String,
    /// Defines `check(candidate)`.
    pub test: String,
}

impl HumanEval {
    /// A program that fails if a completion of the prompt is wrong.
    pub fn program(&self, completion: &str) -> String {
        let (prompt, test, name) = (&self.prompt, &self.test, &self.entry_point);
        format!("{prompt}{completion}\n{test}\ncheck({name})")
    }
}

/// The problems of HumanEval, from its JSON Lines file, packed by gzip or not.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read or unpacked, or naming the line that is no such
/// record.
pub fn human_eval(path: &Path) -> Result<Vec<HumanEval>, DataError> {
    json_lines(path)
}

/// A program to be written to a description, from either of the two files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mbpp {
    /// Its number.
    pub task_id: u32,
    /// The description.
    #[serde(alias = "text")]
    pub prompt: String,
    /// A correct program.
    pub code: String,
    /// Code that runs before the tests: imports in the sanitised file, any code in the full one.
    #[serde(
        alias = "test_setup_code",
        alias = "test_imports",
        deserialize_with = "lines"
    )]
    pub setup: String,
    /// Assertions.
    #[serde(alias = "test_list")]
    pub tests: Vec<String>,
    /// Harder assertions; only the full file has them.
    #[serde(alias = "challenge_test_list", default)]
    pub challenge_tests: Vec<String>,
}

impl Mbpp {
    /// A program that fails if a solution is wrong.
    pub fn program(&self, solution: &str) -> String {
        let tests = self.tests.join("\n");
        match self.setup.is_empty() {
            true => format!("{solution}\n{tests}\n"),
            false => format!("{solution}\n{}\n{tests}\n", self.setup),
        }
    }
}

/// A text, or its lines.
fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Lines {
        Text(String),
        Lines(Vec<String>),
    }

    Ok(match Lines::deserialize(deserializer)? {
        Lines::Text(text) => text,
        Lines::Lines(lines) => lines.join("\n"),
    })
}

/// The problems of `mbpp.jsonl`, all 974.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is no such record.
pub fn mbpp(path: &Path) -> Result<Vec<Mbpp>, DataError> {
    json_lines(path)
}

/// The problems of `sanitized-mbpp.json`, which is one array of other fields.
///
/// # Errors
///
/// [`DataError`] if the file cannot be read, or naming the line that is not as it should be.
pub fn mbpp_sanitised(path: &Path) -> Result<Vec<Mbpp>, DataError> {
    json(path)
}
