//! Chores of this workspace, and the paper's experiments: `cargo xtask --help`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool prints"
)]

mod bench;
mod bridges;
mod checks;
mod pretrain;
mod probe;
mod reproduce;
mod scale;
mod walk;

use std::process::{Command, ExitCode};

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
    #[command(subcommand)]
    Pretrain(pretrain::PretrainArgs),
    /// Reproduce tables of the paper.
    Reproduce(reproduce::ReproduceArgs),
    /// Time this project beside transformers on PyTorch.
    Bench(bench::BenchArgs),
    /// Measure one work in this process, as `bench` does, and print its figures as JSON.
    Measure(bench::MeasureArgs),
    /// Compare options of bridges by their first steps.
    Bridges(bridges::BridgesArgs),
    /// Measure what hidden states of models hold of the meaning of sentences.
    Probe(probe::ProbeArgs),
    /// Execute every command of README, docs and help texts.
    Walk(walk::WalkArgs),
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
        Task::Measure(args) => bench::measure(args),
        Task::Bridges(args) => bridges::run(args),
        Task::Probe(args) => probe::run(args),
        Task::Walk(args) => walk::run(args),
        Task::Test(args) => checks::test(args),
        Task::CheckGpus => checks::check_gpus(),
        Task::Ci => checks::ci(),
    }
}

/// The commit of this checkout, and whether files differ from it. Cargo builds this program from
/// these files just before it runs, so git is right here; `calm`, which may run anywhere, knows only
/// what it was built with (`CALM_COMMIT`).
fn commit() -> String {
    Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or("unknown".to_owned(), |text| text.trim().to_owned())
}
