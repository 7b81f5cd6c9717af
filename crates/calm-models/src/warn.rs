//! Warnings about files, each told once however often a file is read.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Warns, unless the same was told before in this process.
pub(crate) fn once(message: String) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if !told.contains(&message) {
        tracing::warn!("{message}");
        told.insert(message);
    }
}
