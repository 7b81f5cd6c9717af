//! How large the experiment is.

use std::path::PathBuf;

use calm_lm::data::kv::KvConfig;
use clap::ValueEnum;
use serde::Serialize;

/// The experiment of the committed checkpoints, or the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scale {
    /// 1000 keys, 3 or 4 operands, + and -: minutes on two processor cores
    Laptop,
    /// 25000 keys, 3 to 6 operands, +, - and ×, and larger models: for a GPU
    Paper,
}

impl Scale {
    /// Table, split and expressions.
    pub(crate) fn data(self) -> KvConfig {
        match self {
            Self::Laptop => KvConfig::laptop(),
            Self::Paper => KvConfig::default(),
        }
    }

    /// Where the frozen models of this scale are.
    pub(crate) fn checkpoints(self) -> PathBuf {
        match self {
            Self::Laptop => PathBuf::from("datasets/checkpoints"),
            // Too large to be committed.
            Self::Paper => PathBuf::from("runs/checkpoints-paper"),
        }
    }
}
