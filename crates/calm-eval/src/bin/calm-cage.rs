//! A launcher of cages and nothing else, for programs that can't be one themselves.

use std::process::ExitCode;

fn main() -> ExitCode {
    calm_eval::cage::launch_if_asked();
    ExitCode::from(2)
}
