//! Benchmarks that will be evaluated.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A benchmark whose texts must not be learnt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BenchmarkSpec {
    /// The benchmark.
    pub format: BenchmarkFormat,
    /// Its file or directory.
    pub path: PathBuf,
    /// Pairs of FLoRes v1, such as `ne-en`; all that there are, if empty.
    #[serde(default)]
    pub pairs: Vec<String>,
}

/// Benchmarks that are read, and texts line by line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchmarkFormat {
    /// The directory of FLORES-200, with `dev` and `devtest`.
    #[serde(rename = "flores-200")]
    Flores200,
    /// A file of FLORES+.
    FloresPlus,
    /// The directory of FLoRes v1.
    FloresV1,
    /// A file of GSM8K.
    Gsm8k,
    /// A file of MGSM, or a directory of them.
    Mgsm,
    /// The file of HumanEval.
    #[serde(rename = "humaneval")]
    HumanEval,
    /// A file of MBPP.
    Mbpp,
    /// A file of CodeXGLUE's code-to-text, or a directory of directories of them.
    #[serde(rename = "codexglue")]
    CodeXGlue,
    /// A file of texts, one in a line.
    Text,
}
