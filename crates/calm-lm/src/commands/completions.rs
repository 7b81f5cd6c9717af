//! `calm completions`: what a shell needs to complete a command line.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use serde::Serialize;

use crate::Cli;
use crate::names::with_aliases;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  For bash, whose ~/.bashrc then reads the file with `source ~/.calm.bash`:
    calm completions bash > ~/.calm.bash

  For zsh, likewise in ~/.zshrc behind `compinit`, and for fish:
    calm completions zsh > ~/.calm.zsh
    calm completions fish > ~/.config/fish/conf.d/calm.fish

Without a file, `source <(calm completions bash)` does the same each time a shell starts.";

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
