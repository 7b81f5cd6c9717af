//! `cargo xtask test` and `cargo xtask ci`: what has to hold of the code.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use miette::{IntoDiagnostic, Result, WrapErr, miette};

/// Runs the tests of all crates. The release profile shares one build of Burn with the other
/// tasks.
pub(crate) fn test() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["test", "--release", "--workspace", "--no-fail-fast"];
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_package(name)) {
        command.env_remove(name);
    }
    succeed(command.args(args), "cargo test")
}

/// Whether cargo told this program so about its package. Build scripts that look at it would run
/// anew within it, and again without it, and all that depends on them would be built each time.
fn is_of_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// Runs `.ci/run`, the one list of what has to hold for every commit.
pub(crate) fn ci() -> Result<()> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/run");
    succeed(&mut Command::new(script), ".ci/run")
}

fn succeed(command: &mut Command, name: &str) -> Result<()> {
    let status = command
        .status()
        .into_diagnostic()
        .wrap_err_with(|| format!("{name} could not be started"))?;
    if status.success() {
        Ok(())
    } else {
        Err(miette!("{name} failed"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_command_that_fails_or_does_not_exist_is_named() {
        let missing = succeed(&mut Command::new("./no-such-program"), "it");
        assert_eq!(missing.unwrap_err().to_string(), "it could not be started");
        let cargo = |argument| {
            let mut command = Command::new(env!("CARGO"));
            command.args(["help", argument]);
            succeed(command.stdout(Stdio::null()).stderr(Stdio::null()), "it")
        };
        assert_eq!(
            cargo("no-such-command").unwrap_err().to_string(),
            "it failed"
        );
        assert!(cargo("test").is_ok());
    }
}
