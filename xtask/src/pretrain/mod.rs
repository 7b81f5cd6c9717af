//! `cargo xtask pretrain`: makes the small frozen checkpoints of the paper's tables from a seed.

mod curve;
mod kv;
mod ntl;

use clap::Subcommand;
use miette::Result;

/// Families of checkpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum PretrainArgs {
    /// Key-value arithmetic: Table 1
    Kv(kv::KvArgs),
    /// Low-resource languages: tables 2, 3 and 6
    Ntl(ntl::NtlArgs),
}

/// Trains the models one after the other and writes their checkpoints in half precision.
pub(crate) fn run(args: &PretrainArgs) -> Result<()> {
    match args {
        PretrainArgs::Kv(args) => kv::run(args),
        PretrainArgs::Ntl(args) => ntl::run(args),
    }
}
