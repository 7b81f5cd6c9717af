//! Bars and spinners of this process.

use std::sync::LazyLock;

use indicatif::MultiProgress;

/// Those of computations that run at the same time stand below each other.
pub(super) static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);
