//! Ctrl-C as a request: the step in progress is finished and saved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::line::write_line;

/// Exit code of a program that Ctrl-C ended, as shells expect it: 128 and the number of the signal.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The answer to a first Ctrl-C while there is nothing to stop.
static IDLE: Mutex<Option<&str>> = Mutex::new(None);

/// Makes the first Ctrl-C a request; a second one ends the process at once.
pub fn listen() {
    let installed = ctrlc::set_handler(|| {
        if REQUESTED.swap(true, Ordering::SeqCst) {
            #[cfg(feature = "tui")]
            super::keys::restore_terminal();
            std::process::exit(EXIT_CODE.into());
        }
        say(*IDLE.lock().unwrap_or_else(PoisonError::into_inner));
    });
    // Without a handler Ctrl-C still ends the process, and the last checkpoint still holds.
    let _ = installed;
}

/// Whether Ctrl-C was pressed.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Whether Ctrl-C was pressed since this was asked last, which is forgotten: the next one is a first
/// one again.
pub fn take() -> bool {
    REQUESTED.swap(false, Ordering::SeqCst)
}

/// Says this to a first Ctrl-C from now on, or nothing. One that came since [`take`] is answered at
/// once, or nobody would answer it.
pub fn when_idle(line: Option<&'static str>) {
    *IDLE.lock().unwrap_or_else(PoisonError::into_inner) = line;
    if requested() {
        say(line);
    }
}

fn say(line: Option<&str>) {
    if let Some(line) = line {
        write_line(format_args!("\n{line}"));
    }
}
