//! The verbs of `calm`, one file or folder each.

mod compose;
mod data;
mod doctor;
mod dry_run;
mod eval;
mod generate;
mod import;
mod inspect;
mod load;
mod merge;
mod model;
mod pretrain;
mod runs;
mod score;
mod trace;
mod verify;

use clap::Subcommand;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;
use crate::settings::ConfigFile;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Build a dataset, or fetch one
    Data(data::DataArgs),
    /// Train a small language model from nothing, or go on training a checkpoint
    #[command(after_long_help = pretrain::EXAMPLES)]
    Pretrain(Box<pretrain::PretrainArgs>),
    /// Train the bridges between an anchor and the models that it is to read
    #[command(after_long_help = compose::EXAMPLES)]
    Compose(Box<compose::ComposeArgs>),
    /// Continue prompts with a checkpoint or a composition
    #[command(after_long_help = generate::EXAMPLES)]
    Generate(generate::GenerateArgs),
    /// Score a checkpoint or a composition by exact match, or on benchmarks
    // Listing tasks and comparing runs needs no model.
    #[command(after_long_help = eval::EXAMPLES, mut_arg("model", |arg| arg.required(false)))]
    Eval(eval::EvalArgs),
    /// Score texts against references: chrF, BLEU
    #[command(after_long_help = score::EXAMPLES)]
    Score(score::ScoreArgs),
    /// Describe a checkpoint or a composition
    #[command(after_long_help = inspect::EXAMPLES)]
    Inspect(inspect::InspectArgs),
    /// Show which tokens of its augmenting models a composition reads
    #[command(after_long_help = trace::EXAMPLES)]
    Trace(trace::TraceArgs),
    /// Make one composition of two over the same anchor
    #[command(after_long_help = merge::EXAMPLES)]
    Merge(merge::MergeArgs),
    /// Compare a checkpoint or a composition with values computed elsewhere
    #[command(after_long_help = verify::EXAMPLES)]
    Verify(verify::VerifyArgs),
    /// Look at training runs
    Runs(runs::RunsArgs),
    /// Make a composition from the state dict of another project
    #[command(after_long_help = import::IMPORT_EXAMPLES)]
    Import(import::ImportArgs),
    /// Write the bridges of a composition as another project's state dict
    #[command(after_long_help = import::EXPORT_EXAMPLES)]
    Export(import::ExportArgs),
    /// Describe this build and this machine
    #[command(after_long_help = doctor::EXAMPLES)]
    Doctor,
}

impl Verb {
    /// Puts the keys of a settings file over the flags of a verb that takes one.
    pub(crate) fn fill(&mut self, file: &ConfigFile) -> Result<(), Failure> {
        match self {
            Self::Compose(args) => {
                file.fill(&mut args.call)?;
                file.fill(&mut args.config)
            }
            Self::Pretrain(args) => {
                file.fill(&mut args.call)?;
                file.fill(&mut args.config)
            }
            _ => Ok(()),
        }
    }

    /// Runs the verb.
    pub(crate) fn run(&self, common: &Common) -> Result<Report, Failure> {
        match self {
            Self::Data(args) => data::run(args, common),
            Self::Pretrain(args) => pretrain::run(args, common),
            Self::Compose(args) => compose::run(args, common),
            Self::Generate(args) => generate::run(args, common),
            Self::Eval(args) => eval::run(args, common),
            Self::Score(args) => score::run(args, common),
            Self::Inspect(args) => inspect::run(args, common),
            Self::Trace(args) => trace::run(args, common),
            Self::Merge(args) => merge::run(args),
            Self::Verify(args) => verify::run(args, common),
            Self::Runs(args) => runs::run(args),
            Self::Import(args) => import::run_import(args, common),
            Self::Export(args) => import::run_export(args, common),
            Self::Doctor => Ok(doctor::run()),
        }
    }
}
