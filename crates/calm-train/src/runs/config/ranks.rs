//! Settings of the devices and processes that share a run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::text;

/// Devices and processes that share the batches of every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Several devices and machines")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct RankConfig {
    /// Devices that share the batches of every step, as cuda:0,cuda:1 [default: --device]
    ///
    /// One that is named twice works on two at a time.
    #[serde(with = "text::comma_separated", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "NAMES",
            value_delimiter = ',',
            conflicts_with = "device"
        )
    )]
    pub devices: Vec<String>,
    /// Processes that share them, too: HOST:PORT of each that was started with --listen
    #[serde(with = "text::comma_separated", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ADDRESSES", value_delimiter = ',')
    )]
    pub workers: Vec<String>,
    /// Work for the run of another process, started with the same flags, until it is over
    ///
    /// Port 0 is one that is free.
    #[serde(skip)]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOST:PORT"))]
    pub listen: Option<String>,
    /// File with a secret that both sides have; needed to listen to other machines
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub worker_token: Option<PathBuf>,
    /// Seconds that a worker may take to begin, or to say that it is still there
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "SECONDS", default_value_t = RankConfig::default().worker_timeout)
    )]
    pub worker_timeout: u64,
}

impl Default for RankConfig {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            workers: Vec::new(),
            listen: None,
            worker_token: None,
            worker_timeout: 30,
        }
    }
}
