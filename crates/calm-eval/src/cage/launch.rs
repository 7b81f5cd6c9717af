//! What a launcher does: it restricts itself, then becomes the interpreter.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{Layers, Limits};

/// The first argument of a launcher.
pub(super) const ASKED: &str = "__calm-cage";

/// How a launcher ends that can't do what it was asked to.
pub(super) const FAILED: u8 = 120;

/// The second argument of a launcher, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Try every layer, and print which there are.
    Probe,
    /// Become this program.
    Launch(Box<Launch>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) rules: Rules,
    /// The process that waits for it.
    pub(super) harness: u32,
    /// Start it even if it can't be kept from anything.
    pub(super) is_unsafe: bool,
}

/// What a program in a cage may do.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Rules {
    /// Files and directories that it may read.
    pub(super) read: Vec<PathBuf>,
    /// Files that it may start, and read.
    pub(super) execute: Vec<PathBuf>,
    /// The directory whose files it may make, change and remove.
    pub(super) write: Option<PathBuf>,
    pub(super) limits: Limits,
}

/// Makes this process the launcher of a cage, if that is what it was started for; it never returns
/// then. To be called first in `main`, before there is a second thread.
///
/// A process can give up rights only for itself, and safe Rust can run nothing between the fork and
/// the start of another program. So a [`Cage`](super::Cage) starts the program that it is part of
/// once more, which restricts itself and then becomes the Python interpreter.
///
/// ```no_run
/// calm_eval::cage::launch_if_asked();
/// // … and whatever else the program does
/// ```
pub fn launch_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ASKED) {
        return;
    }
    let request = arguments.next().and_then(|text| text.into_string().ok());
    let request = request.and_then(|text| serde_json::from_str(&text).ok());
    let said = match request {
        Some(Request::Probe) => print(&Layers::try_all()),
        Some(Request::Launch(launch)) => launch.start(),
        None => Err("is no request of a cage; this argument is for calm itself".to_owned()),
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
    /// What is to be executed, with an empty environment.
    ///
    /// Seeds are fixed: whether a program passes is not to depend on the order of its sets.
    pub(super) fn command(&self) -> Command {
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
        // Whoever dies from now on takes this process along; who died before does not.
        if std::os::unix::process::parent_id() != self.harness {
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

/// Closes all files but the three that a cage's pipes are: whoever started the harness may have left
/// others open, which no layer would keep from a program.
#[cfg(target_os = "linux")]
fn close_inherited() -> io::Result<()> {
    let listed = std::fs::read_dir("/proc/self/fd")?;
    let names = listed.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let numbers = names.iter().filter_map(|name| name.to_str()?.parse().ok());
    for number in numbers.filter(|number: &i32| *number > 2) {
        // The listing itself was one of them, which is closed by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
