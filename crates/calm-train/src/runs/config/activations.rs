//! Settings of the cache of hidden states.

use calm_backend::FloatType;
use serde::{Deserialize, Serialize};

/// The cache of hidden states that no bridge changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Activations")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ActivationConfig {
    /// Keep the frozen models' hidden states from epoch to epoch in: memory, off, or a directory
    ///
    /// Those that no bridge changes. In a directory, further runs over the same models, connections
    /// and data find them.
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "PLACE", default_value = "memory")
    )]
    pub activation_cache: String,
    /// Most mebibytes of hidden states to keep; the others are computed in every epoch
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", default_value_t = ActivationConfig::default().activation_budget))]
    pub activation_budget: u64,
    /// Number type in which they are kept: f32, f16 or bf16
    ///
    /// In f32 the run is the same to the last bit as one that keeps none; the halves take half the
    /// room.
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub activation_type: FloatType,
}

impl Default for ActivationConfig {
    fn default() -> Self {
        Self {
            activation_cache: "memory".to_owned(),
            activation_budget: 2048,
            activation_type: FloatType::default(),
        }
    }
}
