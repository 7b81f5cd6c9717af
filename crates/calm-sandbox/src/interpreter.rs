//! The Python interpreter of a sandbox.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::SandboxError;

/// Asks an interpreter which file it is, and where its library lies.
const QUESTION: &str = r#"
import json, os, sys, sysconfig
assert sys.version_info >= (3, 8), "is Python " + sys.version.split()[0]
paths = sysconfig.get_paths()
print(json.dumps({
    "path": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "version": sys.version.split()[0],
    "library": [p for p in (paths["stdlib"], paths["platstdlib"],
                            sysconfig.get_config_var("LIBDIR")) if p],
}))
"#;

/// A Python of this machine. Only its standard library can be imported in a sandbox.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Interpreter {
    /// The binary itself, behind all links, wrappers and virtual environments.
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    pub(crate) library: Vec<PathBuf>,
}

impl Interpreter {
    /// The given one, or else the `python3` that a shell would find.
    pub(crate) fn find(python: Option<&Path>) -> Result<Self, SandboxError> {
        let python = python.unwrap_or(Path::new("python3"));
        let failed = |reason: String| SandboxError::Interpreter {
            python: python.to_owned(),
            reason,
        };
        let mut command = Command::new(python);
        let command = command.args(["-I", "-S", "-c", QUESTION]);
        let answered = command.stdin(Stdio::null()).output();
        let answered = answered.map_err(|error| failed(format!("can't be started ({error})")))?;
        if !answered.status.success() {
            let said = String::from_utf8_lossy(&answered.stderr);
            let last = said.lines().last().unwrap_or("ended at once").trim();
            return Err(failed(last.to_owned()));
        }
        serde_json::from_slice(&answered.stdout)
            .map_err(|_| failed("does not answer as Python does".to_owned()))
    }
}
