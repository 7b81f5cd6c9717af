//! `calm completions`: what a shell needs to complete a command line.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use serde::Serialize;

use crate::Cli;
use crate::names::with_aliases;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  For bash, zsh and fish, each where it looks for them:
    calm completions bash > ~/.local/share/bash-completion/completions/calm
    calm completions zsh > ~/.zfunc/_calm
    calm completions fish > ~/.config/fish/completions/calm.fish

zsh looks into ~/.zfunc if ~/.zshrc has `fpath+=~/.zfunc` before `compinit`.";

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that is to complete
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

#[derive(Serialize)]
struct Completions {
    shell: String,
    script: String,
}

pub(super) fn run(args: &CompletionsArgs) -> Report {
    let mut script = Vec::new();
    generate(
        args.shell,
        &mut with_aliases(Cli::command()),
        "calm",
        &mut script,
    );
    let script = String::from_utf8_lossy(&script).into_owned();
    let shell = args.shell.to_string();
    Report::new(script.clone(), Completions { shell, script })
}
