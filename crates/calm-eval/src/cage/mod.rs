//! Runs generated Python programs against tests, where they can do no harm and cannot cheat.
//!
//! A [`Cage`] judges a [`Program`]: its code, and tests that it is to pass. Two interpreters take
//! part. One runs the program and nothing else; the other runs the tests, which reach the program's
//! functions through a pipe and get plain values back. The program never sees a test, shares no
//! object with one, and says nothing that is believed beyond those values: what it prints, how it
//! ends and what it does to its own builtins decide nothing. Whether the tests ran to their end is
//! seen in the interpreter that the program cannot reach.
//!
//! Both interpreters are in a cage of several layers ([`Layers`]): Landlock leaves them Python's own
//! library and one empty directory, seccomp a short list of system calls without processes, threads,
//! sockets or signals to others, resource limits and a clock the rest ([`Limits`]). What the kernel
//! offers is found out when a cage is made; without Landlock and seccomp there is none, unless
//! [`CageOptions::unsafe_run_code`] is set.
//!
//! The program that makes a cage has to call [`launch_if_asked`] first in `main`, or name another
//! that does ([`CageOptions::launcher`]): this crate's `calm-cage` does nothing else.
//!
//! ```no_run
//! use calm_eval::cage::{Cage, CageOptions, Outcome, Program};
//!
//! let cage = Cage::new(CageOptions::default())?;
//! let program = Program {
//!     code: "def double(x):\n    return 2 * x\n".to_owned(),
//!     tests: "assert double(21) == 42".to_owned(),
//!     names: vec!["double".to_owned()],
//!     ..Program::default()
//! };
//! assert_eq!(cage.judge(&program)?.outcome, Outcome::Passed);
//! # Ok::<(), calm_eval::cage::CageError>(())
//! ```

mod den;
mod error;
mod interpreter;
mod judge;
mod launch;
mod layers;

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use den::Den;
use interpreter::Interpreter;
use launch::{ASKED, Launch, Request};

pub use error::CageError;
pub use launch::launch_if_asked;
pub use layers::Layers;

/// How much a program may use. The interpreter of its tests is held to the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space; 512 MiB.
    pub memory_bytes: u64,
    /// Processor time, which does not run while others compute; 5.
    pub cpu_s: u64,
    /// Time on the clock; 20.
    pub wall_s: u64,
    /// Longest file; 16 MiB.
    pub file_bytes: u64,
    /// All files together, looked at twenty times a second; 64 MiB.
    pub disk_bytes: u64,
    /// What it prints; 1 MiB.
    pub output_bytes: u64,
    /// Files open at a time; 64.
    pub open_files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            cpu_s: 5,
            wall_s: 20,
            file_bytes: 16 << 20,
            disk_bytes: 64 << 20,
            output_bytes: 1 << 20,
            open_files: 64,
        }
    }
}

/// How a cage is made.
#[derive(Debug, Clone, Default)]
pub struct CageOptions {
    /// What a program may use.
    pub limits: Limits,
    /// The interpreter; the `python3` that a shell would find, if none is named.
    pub python: Option<PathBuf>,
    /// A program that calls [`launch_if_asked`]; the one that is running, if none is named.
    pub launcher: Option<PathBuf>,
    /// Run programs even where nothing keeps them from doing what the user may do.
    pub unsafe_run_code: bool,
}

/// A program, and the tests that it is to pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Program {
    /// What was generated. It is not to be trusted, the other fields are.
    pub code: String,
    /// What the tests need besides the program: imports, helpers.
    pub setup: String,
    /// Statements, some of which raise an exception if the program is wrong.
    pub tests: String,
    /// What of the program the tests see, under these names.
    pub names: Vec<String>,
    /// A program that is known to be right, or nothing: the tests also see what it defines on its
    /// top level, and what it imports.
    pub reference: String,
}

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The tests ran to their end.
    Passed,
    /// A test failed, or the program ended before the tests did.
    Failed,
    /// It used more time than it may, on the processor or on the clock.
    OutOfTime,
    /// It printed more than it may.
    OutOfOutput,
    /// It wrote more than it may.
    OutOfDisk,
    /// The tests are none, or hand over what can't be handed from one interpreter to another.
    Unusable,
}

/// How a program was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    /// What came of it.
    pub outcome: Outcome,
    /// What went wrong, in one line; empty if nothing did.
    pub reason: String,
    /// The beginning of what the program printed.
    pub printed: String,
    /// Time on the clock.
    pub elapsed: Duration,
}

impl Verdict {
    /// Whether the tests were seen to run to their end.
    pub fn is_pass(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

/// Judges programs. Several threads may share one.
#[derive(Debug, Clone)]
pub struct Cage {
    limits: Limits,
    interpreter: Interpreter,
    launcher: PathBuf,
    layers: Layers,
    is_unsafe: bool,
    /// Of all that share this cage.
    den: Arc<Den>,
}

impl Cage {
    /// Finds out what there is to make a cage of, and removes the directories of those whose process
    /// was killed.
    ///
    /// # Errors
    ///
    /// [`CageError::Unavailable`] if programs could do harm in it; [`CageError::Interpreter`]
    /// without Python; [`CageError::Launcher`] if the launcher is none; [`CageError::Io`] without a
    /// temporary directory.
    pub fn new(options: CageOptions) -> Result<Self, CageError> {
        let interpreter = Interpreter::find(options.python.as_deref())?;
        let launcher = match options.launcher {
            Some(launcher) => launcher,
            None => env::current_exe().map_err(CageError::io("where this program is"))?,
        };
        let mut cage = Self {
            limits: options.limits,
            interpreter,
            launcher,
            layers: Layers::default(),
            is_unsafe: options.unsafe_run_code,
            den: Arc::new(Den::new().map_err(CageError::io("a temporary directory"))?),
        };
        if cfg!(target_os = "linux") {
            cage.layers = cage.probe()?;
        }
        match cage.layers.missing() {
            Some(missing) if !cage.is_unsafe => Err(CageError::Unavailable { missing }),
            _ => Ok(cage),
        }
    }

    /// What keeps programs in.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The version of the interpreter.
    pub fn python_version(&self) -> &str {
        &self.interpreter.version
    }

    /// Lets the tests run against the program.
    ///
    /// # Errors
    ///
    /// [`CageError::Io`] or [`CageError::Launcher`] if the cage, not the program, fails.
    pub fn judge(&self, program: &Program) -> Result<Verdict, CageError> {
        judge::judge(self, program)
    }

    fn probe(&self) -> Result<Layers, CageError> {
        let output = self.launcher(&Request::Probe).stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.launcher_failed(error.to_string()))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let reason = "is no launcher of cages; call calm_eval::cage::launch_if_asked() first in \
                          its main, or name calm-cage as the launcher";
            self.launcher_failed(reason.to_owned())
        })
    }

    fn launcher_failed(&self, reason: String) -> CageError {
        CageError::Launcher {
            launcher: self.launcher.clone(),
            reason,
        }
    }

    fn launcher(&self, request: &Request) -> Command {
        let request = serde_json::to_string(request).expect("paths of a request are Unicode");
        let mut command = Command::new(&self.launcher);
        command.arg(ASKED).arg(request).env_clear();
        command
    }

    /// What starts a program in the cage, or on a system that has none, outside of it.
    fn command(&self, launch: Launch) -> Command {
        if cfg!(target_os = "linux") {
            self.launcher(&Request::Launch(Box::new(launch)))
        } else {
            launch.command()
        }
    }
}
