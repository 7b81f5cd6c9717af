//! `calm`: composition of frozen language models from the command line. See `calm --help`.

mod cli;
mod commands;
mod failure;
mod report;
mod settings;

use std::process::ExitCode;

use calm_lm::backend::{Allocator, keep_freed_memory};
use calm_lm::terminal::warnings;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    // Before there is a second thread.
    calm_lm::sandbox::launch_if_asked();
    keep_freed_memory();
    warnings::show();
    let printed = settings::parse(std::env::args_os()).and_then(|cli| {
        cli.common.use_threads()?;
        let report = cli.common.watched(|| cli.verb.run(&cli.common));
        let report = report.map_err(|failure| cli.common.settings.blame(failure))?;
        report.print(cli.common.json)
    });
    printed.unwrap_or_else(|failure| failure.explain())
}
