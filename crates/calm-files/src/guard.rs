//! Panics as errors, for libraries that panic where an error is due: drivers and file readers.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call of a library that may panic. The panic is not printed.
///
/// # Errors
///
/// The message of the panic, in one line.
pub fn guard<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    silence();
    let outer = GUARDED.replace(true);
    // State that was half changed is not used again: it belongs to the library, or is dropped.
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    outcome.map_err(|panic| message(&*panic))
}

/// Keeps the panic hook from printing panics that become errors.
fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                print(panic);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        assert_eq!(guard(|| 3), Ok(3));
        let caught = |run: fn()| guard(run).unwrap_err();
        assert_eq!(caught(|| panic!("at\nonce")), "at once");
        assert!(caught(|| drop(Vec::<u8>::new()[..].chunks(0))).contains("non-zero"));
        assert!(!GUARDED.get());
    }
}
