//! The verbs of `calm`, one file or folder each.

mod chat;
mod completions;
mod compose;
mod data;
mod decoding;
mod doctor;
mod dry_run;
mod eval;
mod experiment;
mod generate;
mod import;
mod inspect;
mod load;
mod merge;
mod model;
mod pretrain;
mod report;
mod runs;
mod score;
mod seeds;
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
    #[command(after_long_help = data::EXAMPLES)]
    Data(data::DataArgs),
    /// Train a small model from nothing, or train a checkpoint further
    #[command(after_long_help = pretrain::EXAMPLES)]
    Pretrain(Box<pretrain::PretrainArgs>),
    /// Train bridges so that the anchor can read other models
    #[command(
        after_long_help = compose::EXAMPLES,
        mut_arg("dry_run", |arg| arg.conflicts_with("listen")),
        mut_arg("tui", |arg| arg.conflicts_with("listen"))
    )]
    Compose(Box<compose::ComposeArgs>),
    /// Continue prompts with a checkpoint or a composition
    #[command(after_long_help = generate::EXAMPLES)]
    Generate(generate::GenerateArgs),
    /// Talk with a checkpoint or a composition in the terminal
    #[command(after_long_help = chat::EXAMPLES)]
    Chat(chat::ChatArgs),
    /// Score a checkpoint or a composition by exact match, or on benchmarks
    // Listing tasks and comparing runs needs no model.
    #[command(after_long_help = eval::EXAMPLES, mut_arg("model", |arg| {
        arg.required_unless_present_any(["list", "show", "compare"])
    }))]
    Eval(eval::EvalArgs),
    /// Make a table of systems beside each other, with a report
    #[command(after_long_help = experiment::EXAMPLES)]
    Experiment(experiment::ExperimentVerb),
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
    #[command(after_long_help = runs::EXAMPLES)]
    Runs(runs::RunsArgs),
    /// Show a table of results as one page, Markdown, CSV or text
    #[command(after_long_help = report::EXAMPLES)]
    Report(report::ReportArgs),
    /// Make a composition from the state dict of another project
    #[command(after_long_help = import::IMPORT_EXAMPLES)]
    Import(import::ImportArgs),
    /// Write the bridges of a composition as another project's state dict
    #[command(after_long_help = import::EXPORT_EXAMPLES)]
    Export(import::ExportArgs),
    /// Describe this build and this machine
    #[command(after_long_help = doctor::EXAMPLES)]
    Doctor,
    /// Print what a shell needs to complete verbs, flags and files
    #[command(after_long_help = completions::EXAMPLES)]
    Completions(completions::CompletionsArgs),
}

impl Verb {
    /// Puts the keys of a settings file over the flags of a verb that takes one.
    pub(crate) fn fill(&mut self, file: &ConfigFile) -> Result<(), Failure> {
        match self {
            Self::Compose(args) => {
                file.fill(&mut args.call)?;
                file.fill(&mut args.seeds)?;
                file.fill(&mut args.config)
            }
            Self::Pretrain(args) => {
                file.fill(&mut args.call)?;
                file.fill(&mut args.seeds)?;
                file.fill(&mut args.config)
            }
            _ => Ok(()),
        }
    }

    /// The work that goes on, for whoever waits for it.
    pub(crate) fn doing(&self) -> &'static str {
        match self {
            Self::Data(_) => "reading and writing data",
            Self::Pretrain(_) | Self::Compose(_) => "reading models and data",
            Self::Generate(_) | Self::Chat(_) | Self::Eval(_) | Self::Trace(_) => "loading models",
            Self::Experiment(_) => "reading experiments",
            Self::Score(_) => "scoring",
            Self::Inspect(_) | Self::Merge(_) => "reading and hashing weights",
            Self::Verify(_) => "loading and computing",
            Self::Runs(_) => "reading runs",
            Self::Report(_) => "reading and drawing results",
            Self::Import(_) | Self::Export(_) => "reading and writing weights",
            Self::Doctor => "looking for devices",
            Self::Completions(_) => "writing",
        }
    }

    /// Runs the verb.
    pub(crate) fn run(&self, common: &Common) -> Result<Report, Failure> {
        match self {
            Self::Data(args) => data::run(args, common),
            Self::Pretrain(args) => pretrain::run(args, common),
            Self::Compose(args) => compose::run(args, common),
            Self::Generate(args) => generate::run(args, common),
            Self::Chat(args) => chat::run(args, common),
            Self::Eval(args) => eval::run(args, common),
            Self::Experiment(args) => experiment::run(args, common),
            Self::Score(args) => score::run(args, common),
            Self::Inspect(args) => inspect::run(args, common),
            Self::Trace(args) => trace::run(args, common),
            Self::Merge(args) => merge::run(args),
            Self::Verify(args) => verify::run(args, common),
            Self::Runs(args) => runs::run(args),
            Self::Report(args) => report::run(args),
            Self::Import(args) => import::run_import(args, common),
            Self::Export(args) => import::run_export(args, common),
            Self::Doctor => Ok(doctor::run()),
            Self::Completions(args) => Ok(completions::run(args)),
        }
    }
}
