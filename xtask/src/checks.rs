//! `cargo xtask test` and `cargo xtask ci`: what has to hold of the code.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use calm_lm::backend::Backend;
use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Of tensors, models and compositions alone, on a device of this backend: wgpu, cuda, …
    #[arg(long, value_name = "BACKEND")]
    device: Option<Backend>,
}

/// Target directory of other backends: each set of features has a Burn of its own.
const GPU_TARGET: &str = "target/gpu";

/// Runs the tests of all crates. The release profile shares one build of Burn with the other
/// tasks.
pub(crate) fn test(args: &TestArgs) -> Result<()> {
    let Some(backend) = args.device else {
        let all = ["test", "--release", "--workspace", "--no-fail-fast"];
        return succeed(cargo().args(all), "cargo test");
    };
    let mut command = cargo();
    command.args(["test", "--no-fail-fast", "--target-dir", GPU_TARGET]);
    for package in ["calm-backend", "calm-models", "calm-compose"] {
        let feature = format!("{package}/{}", backend.feature());
        command.args(["--package", package, "--features", &feature]);
    }
    // Optimised less, as the most of the time goes into compiling.
    command.args(["--config", "profile.dev.package.\"*\".opt-level=1"]);
    command.args(["--config", "profile.dev.debug=false"]);
    // Burn's default device, which tests compute on. Kernels are not tuned: that takes most of the
    // time on a device that is imitated.
    command.env("BURN_DEVICE", backend.name());
    command.env("CUBECL_AUTOTUNE_LEVEL", "minimal");
    succeed(&mut command, "cargo test")
}

/// Type-checks `calm` with all backends at once, as nothing else would without a GPU.
pub(crate) fn check_gpus() -> Result<()> {
    let gpus = Backend::ALL
        .into_iter()
        .filter(|backend| *backend != Backend::Cpu);
    let features: Vec<String> = gpus
        .map(|backend| format!("calm-lm/{}", backend.feature()))
        .collect();
    let check = ["check", "--package", "calm-lm", "--target-dir", GPU_TARGET];
    let mut command = cargo();
    command
        .args(check)
        .args(["--features", &features.join(",")]);
    // The compilers for Nvidia's and AMD's GPUs fetch an LLVM while they are built, but not for
    // documentation, where types are enough as well.
    command.env("DOCS_RS", "1");
    succeed(&mut command, "cargo check")
}

fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_package(name)) {
        command.env_remove(name);
    }
    command
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
