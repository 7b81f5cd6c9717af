//! The launcher: a process that restricts itself, then becomes the interpreter.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::{Layers, Limits};

/// The first argument of a launcher.
pub(crate) const LAUNCH_ARGUMENT: &str = "__calm-sandbox";

/// Exit code of a launcher that failed.
pub(crate) const FAILED: u8 = 120;

/// The second argument of a launcher, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Try every layer, and print the available ones.
    Probe,
    /// Become this program.
    Launch(Box<Launch>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) rules: Rules,
    /// The process that waits for it.
    pub(crate) parent: u32,
    /// Start it even without layers.
    pub(crate) is_unsafe: bool,
}

/// Rights of a program in a sandbox.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// Files and directories that it may read.
    pub(crate) read: Vec<PathBuf>,
    /// Files that it may execute and read.
    pub(crate) execute: Vec<PathBuf>,
    /// Directory whose files it may create, change and remove.
    pub(crate) write: Option<PathBuf>,
    pub(crate) limits: Limits,
}

/// Makes this process the launcher of a sandbox, if it was started as one; then it never returns.
/// Call it first in `main`, before there is a second thread.
///
/// A process can give up rights only for itself, and safe Rust cannot run code between fork and
/// exec. So a [`Sandbox`](crate::Sandbox) starts its own program once more, which restricts itself
/// and then becomes the Python interpreter.
///
/// ```no_run
/// calm_sandbox::launch_if_asked();
/// // … the rest of the program
/// ```
pub fn launch_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments
        .next()
        .is_none_or(|first| first != LAUNCH_ARGUMENT)
    {
        return;
    }
    let request = arguments.next().and_then(|text| text.into_string().ok());
    let request = request.and_then(|text| serde_json::from_str(&text).ok());
    let said = match request {
        Some(Request::Probe) => print(&Layers::try_all()),
        Some(Request::Launch(launch)) => launch.start(),
        None => Err("is no request of a sandbox; this argument is for calm itself".to_owned()),
    };
    let code = match said {
        Ok(()) => 0,
        Err(reason) => {
            let _ = write!(io::stderr(), "{reason}");
            i32::from(FAILED)
        }
    };
    std::process::exit(code)
}

fn print(layers: &Layers) -> Result<(), String> {
    let text = serde_json::to_string(layers).map_err(|error| error.to_string())?;
    write!(io::stdout(), "{text}").map_err(|error| error.to_string())
}

impl Launch {
    /// The command, with an empty environment. The seed of hashes is fixed, so that the order of a
    /// set decides no result.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.env_clear().env("PYTHONHASHSEED", "0");
        command
    }

    #[cfg(target_os = "linux")]
    fn start(&self) -> Result<(), String> {
        use std::os::unix::process::CommandExt;

        let closed = close_inherited().map_err(|error| format!("can't close files: {error}"));
        if !self.is_unsafe {
            closed?;
        }
        let layers = Layers::apply(&self.rules);
        // From now on this process ends with its parent; a parent that ended before is noticed here.
        if std::os::unix::process::parent_id() != self.parent {
            return Err("nobody waits for this program any more".to_owned());
        }
        match layers.missing() {
            Some(missing) if !self.is_unsafe => Err(missing),
            _ => Err(format!("can't start Python: {}", self.command().exec())),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn start(&self) -> Result<(), String> {
        Err("there is no launcher for this system".to_owned())
    }
}

/// Closes all files but standard input, output and error. Others may have been left open by whoever
/// started this process, and no layer closes them.
#[cfg(target_os = "linux")]
fn close_inherited() -> io::Result<()> {
    let listed = std::fs::read_dir("/proc/self/fd")?;
    let names = listed.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    for number in numbers.filter(|number: &i32| *number > 2) {
        // The listing itself was one of them, which is already closed.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
