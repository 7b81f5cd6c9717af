//! Chores of this workspace, and the paper's experiments: `cargo xtask --help`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod bench;
mod checks;
mod pretrain;
mod reproduce;
mod scale;

use std::process::ExitCode;

use calm_lm::backend::{Allocator, keep_freed_memory};
use calm_lm::terminal::interrupt;
use clap::{Parser, Subcommand};
use miette::Result;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

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
    /// Reproduce Table 1 of the paper.
    Reproduce(reproduce::ReproduceArgs),
    /// Time this project beside transformers on PyTorch.
    Bench(bench::BenchArgs),
    /// Run all tests.
    Test(checks::TestArgs),
    /// Type-check what builds for GPUs have.
    CheckGpus,
    /// Run what continuous integration runs: formatting, tests, lints, documentation.
    Ci,
}

fn main() -> ExitCode {
    keep_freed_memory();
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
        Task::Reproduce(args) => reproduce::run(args),
        Task::Bench(args) => bench::run(args),
        Task::Test(args) => checks::test(args),
        Task::CheckGpus => checks::check_gpus(),
        Task::Ci => checks::ci(),
    }
}
