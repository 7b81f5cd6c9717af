//! Chores of this workspace, and the paper's experiments: `cargo xtask --help`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod interrupt;
mod pretrain;
mod progress;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use miette::{IntoDiagnostic, Result, miette};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "Chores of this workspace, and the paper's experiments"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Make the small frozen checkpoints anew.
    Pretrain(pretrain::PretrainArgs),
    /// Run all tests.
    Test,
}

fn main() -> ExitCode {
    interrupt::listen();
    match run(&Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("error: {report}");
            ExitCode::from(if interrupt::requested() { 130 } else { 2 })
        }
    }
}

fn run(task: &Task) -> Result<()> {
    match task {
        Task::Pretrain(args) => pretrain::run(args),
        Task::Test => cargo(&["test", "--release", "--workspace", "--no-fail-fast"]),
    }
}

fn cargo(args: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(args).status().into_diagnostic()?;
    if status.success() {
        Ok(())
    } else {
        Err(miette!("cargo {} failed", args.join(" ")))
    }
}
