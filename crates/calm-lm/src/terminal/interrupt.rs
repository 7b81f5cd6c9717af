//! Ctrl-C as a request: the step in progress is finished and saved.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of a program that Ctrl-C ended, as shells expect it: 128 and the number of the signal.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Makes the first Ctrl-C a request; a second one ends the process at once.
pub fn listen() {
    let installed = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            #[cfg(feature = "tui")]
            super::keys::restore_terminal();
            std::process::exit(EXIT_CODE.into());
        }
    });
    // Without a handler Ctrl-C still ends the process, and the last checkpoint still holds.
    let _ = installed;
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
