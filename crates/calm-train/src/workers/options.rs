//! Settings of a connection between two processes of a run.

use std::time::Duration;

/// Token and patience of a connection.
#[derive(Debug, Clone)]
pub struct RankOptions {
    /// Secret that both sides have. It travels unencrypted.
    pub token: Option<String>,
    /// Longest silence of the other side. A worker that computes sends a sign of life every second.
    pub patience: Duration,
}
