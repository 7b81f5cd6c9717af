//! `calm data`: builds a dataset, or fetches one.

mod code;
mod fetch;
mod kv;
mod ntl;

use clap::{Args, Subcommand};

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

pub(super) const EXAMPLES: &str = r"EXAMPLES
  The data of the paper's first experiment at the scale of a laptop, and a benchmark:
    calm data kv --laptop --out kv
    calm data fetch gsm8k --out gsm8k

`calm data NAME --help` has more of each.";

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
    /// Low-resource languages (section 4.2 of the paper), from corpora
    #[command(after_long_help = ntl::EXAMPLES)]
    Ntl(ntl::NtlArgs),
    /// Source code (section 4.3 of the paper), from trees and files
    #[command(after_long_help = code::EXAMPLES)]
    Code(code::CodeArgs),
    /// Files of benchmarks, from their publishers
    #[command(after_long_help = fetch::EXAMPLES)]
    Fetch(fetch::FetchArgs),
}

pub(super) fn run(args: &DataArgs, common: &Common) -> Result<Report, Failure> {
    match &args.dataset {
        Dataset::Kv(args) => kv::run(args, common),
        Dataset::Ntl(args) => ntl::run(args, common),
        Dataset::Code(args) => code::run(args, common),
        Dataset::Fetch(args) => fetch::run(args, common),
    }
}
