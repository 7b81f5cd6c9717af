//! `calm data`: builds a dataset, or fetches one.

mod fetch;
mod kv;

use clap::{Args, Subcommand};

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    dataset: Dataset,
}

#[derive(Debug, Subcommand)]
enum Dataset {
    /// Key-value arithmetic (section 4.1 of the paper)
    #[command(after_long_help = kv::EXAMPLES)]
    Kv(kv::KvArgs),
    /// Files of benchmarks, from their publishers
    #[command(after_long_help = fetch::EXAMPLES)]
    Fetch(fetch::FetchArgs),
}

pub(super) fn run(args: &DataArgs, common: &Common) -> Result<Report, Failure> {
    match &args.dataset {
        Dataset::Kv(args) => kv::run(args, common),
        Dataset::Fetch(args) => fetch::run(args, common),
    }
}
