//! `calm`: composition of frozen language models from the command line. See `calm --help`.

mod cli;
mod commands;
mod failure;
mod report;

use std::process::ExitCode;

use calm_lm::terminal::warnings;
use clap::Parser;

use crate::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before there is a second thread.
    calm_lm::eval::cage::launch_if_asked();
    warnings::show();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return cli::explain(&error),
    };
    let printed = cli
        .verb
        .run(&cli.common)
        .and_then(|report| report.print(cli.common.json));
    printed.unwrap_or_else(|failure| failure.explain())
}
