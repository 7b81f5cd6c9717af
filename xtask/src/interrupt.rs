//! Ctrl-C as a request: the step in progress is finished and saved.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C is a request; a second one ends the process at once.
pub(crate) fn listen() {
    let installed = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    // Without a handler Ctrl-C still ends the process, and the last checkpoint still holds.
    let _ = installed;
}

/// Whether there was one.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
