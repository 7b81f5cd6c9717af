//! Runs generated Python programs against tests in child processes without rights.
//!
//! A [`Sandbox`] judges a [`Program`]: its code, and tests that it is to pass. Two interpreters take
//! part. One runs the program and nothing else. The other runs the tests, calls the program's
//! functions through a pipe and gets plain values back. The program never sees a test, shares no
//! object with one, and nothing that it says is believed beyond those values: what it prints, how it
//! exits and what it does to its own builtins decide nothing. Whether the tests ran to their end is
//! observed in the interpreter that the program cannot reach.
//!
//! Both interpreters run behind several layers ([`Layers`]). Landlock leaves them Python's own
//! library and one empty directory. seccomp leaves them a short list of system calls without
//! processes, threads, sockets or signals to others. Resource limits and a clock bound the rest
//! ([`Limits`]). [`Sandbox::new`] finds out which layers the kernel offers, and fails without
//! Landlock and seccomp unless [`SandboxOptions::unsafe_run_code`] is set.
//!
//! A process can give up rights only for itself, so the sandbox starts its own program once more as
//! a launcher. That program has to call [`launch_if_asked`] first in `main`, or name another one that
//! does ([`SandboxOptions::launcher`]), such as this crate's binary `calm-sandbox`.
//!
//! ```no_run
//! use calm_sandbox::{Outcome, Program, Sandbox, SandboxOptions};
//!
//! let sandbox = Sandbox::new(SandboxOptions::default())?;
//! let program = Program {
//!     code: "def double(x):\n    return 2 * x\n".to_owned(),
//!     tests: "assert double(21) == 42".to_owned(),
//!     names: vec!["double".to_owned()],
//!     ..Program::default()
//! };
//! assert_eq!(sandbox.judge(&program)?.outcome, Outcome::Passed);
//! # Ok::<(), calm_sandbox::SandboxError>(())
//! ```

mod error;
mod interpreter;
mod judge;
mod launch;
mod layers;
mod program;
mod sandbox;
mod working_directory;

pub use error::SandboxError;
pub use launch::launch_if_asked;
pub use layers::Layers;
pub use program::{Outcome, Program, Verdict};
pub use sandbox::{Limits, Sandbox, SandboxOptions};
