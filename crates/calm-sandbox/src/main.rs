//! A launcher of sandboxes, for programs that cannot be their own launcher.

use std::process::ExitCode;

fn main() -> ExitCode {
    calm_sandbox::launch_if_asked();
    ExitCode::from(2)
}
