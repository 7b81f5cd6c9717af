//! Options of a sandbox, and the sandbox itself.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::interpreter::Interpreter;
use crate::launch::{LAUNCH_ARGUMENT, Launch, Request};
use crate::working_directory::WorkingDirectory;
use crate::{Layers, Program, SandboxError, Verdict, judge};

/// Resources that a program may use. The interpreter of its tests gets the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space; 512 MiB.
    pub memory_bytes: u64,
    /// Processor time, which does not pass while other processes compute; 5.
    pub cpu_s: u64,
    /// Wall-clock time; 20.
    pub wall_s: u64,
    /// Longest file; 16 MiB.
    pub file_bytes: u64,
    /// All files together, checked twenty times a second; 64 MiB.
    pub disk_bytes: u64,
    /// Printed output; 1 MiB.
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

/// Settings of a sandbox.
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions {
    /// Resources that a program may use.
    pub limits: Limits,
    /// The interpreter; by default the `python3` that a shell would find.
    pub python: Option<PathBuf>,
    /// A program that calls [`launch_if_asked`](crate::launch_if_asked); by default the running one.
    pub launcher: Option<PathBuf>,
    /// Run programs even where they can do whatever the user can.
    pub unsafe_run_code: bool,
}

/// Judges programs. Several threads may share one.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) limits: Limits,
    pub(crate) interpreter: Interpreter,
    launcher: PathBuf,
    layers: Layers,
    pub(crate) is_unsafe: bool,
    /// Shared by all clones of this sandbox.
    pub(crate) directory: Arc<WorkingDirectory>,
}

impl Sandbox {
    /// Finds out which layers there are, and removes the working directories of killed processes.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Unavailable`] if programs could do harm; [`SandboxError::Interpreter`] without
    /// Python; [`SandboxError::Launcher`] if the launcher is not one; [`SandboxError::Io`] without a
    /// temporary directory.
    pub fn new(options: SandboxOptions) -> Result<Self, SandboxError> {
        let interpreter = Interpreter::find(options.python.as_deref())?;
        let launcher = match options.launcher {
            Some(launcher) => launcher,
            None => env::current_exe().map_err(SandboxError::io("where this program is"))?,
        };
        let directory = WorkingDirectory::new();
        let directory = directory.map_err(SandboxError::io("a temporary directory"))?;
        let mut sandbox = Self {
            limits: options.limits,
            interpreter,
            launcher,
            layers: Layers::default(),
            is_unsafe: options.unsafe_run_code,
            directory: Arc::new(directory),
        };
        if cfg!(target_os = "linux") {
            sandbox.layers = sandbox.probe()?;
        }
        match sandbox.layers.missing() {
            Some(missing) if !sandbox.is_unsafe => Err(SandboxError::Unavailable { missing }),
            _ => Ok(sandbox),
        }
    }

    /// The layers around programs.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The version of the interpreter.
    pub fn python_version(&self) -> &str {
        &self.interpreter.version
    }

    /// Runs the tests against the program.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Io`] or [`SandboxError::Launcher`] if the sandbox, not the program, fails.
    pub fn judge(&self, program: &Program) -> Result<Verdict, SandboxError> {
        judge::judge(self, program)
    }

    fn probe(&self) -> Result<Layers, SandboxError> {
        let output = self.launcher(&Request::Probe).stdin(Stdio::null()).output();
        let output = output.map_err(|error| self.launcher_failed(error.to_string()))?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let reason = "is no launcher of sandboxes; call calm_sandbox::launch_if_asked() first in \
                          its main, or name calm-sandbox as the launcher";
            self.launcher_failed(reason.to_owned())
        })
    }

    pub(crate) fn launcher_failed(&self, reason: String) -> SandboxError {
        SandboxError::Launcher {
            launcher: self.launcher.clone(),
            reason,
        }
    }

    fn launcher(&self, request: &Request) -> Command {
        let request = serde_json::to_string(request).expect("paths of a request are Unicode");
        let mut command = Command::new(&self.launcher);
        command.arg(LAUNCH_ARGUMENT).arg(request).env_clear();
        command
    }

    /// Starts a program in the sandbox, or, on a system without one, outside of it.
    pub(crate) fn command(&self, launch: Launch) -> Command {
        if cfg!(target_os = "linux") {
            self.launcher(&Request::Launch(Box::new(launch)))
        } else {
            launch.command()
        }
    }
}
