//! The tokenizer library believes the files it reads; what it panics at becomes an error here.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread becomes an error, which somebody will be told.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the library; a panic in it is returned as its message, and not printed.
pub(super) fn guard<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    silence();
    let outer = GUARDED.replace(true);
    // The library changes nothing but caches while it encodes and decodes.
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    outcome.map_err(|panic| message(&*panic))
}

/// Leaves panics that become errors out of what the process prints of panics.
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
    let text = text.unwrap_or("unknown").replace('\n', " ");
    format!("it is damaged, the tokenizer library gave up: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors() {
        assert_eq!(guard(|| 3), Ok(3));
        let caught = |run: fn()| guard(run).unwrap_err();
        assert!(caught(|| panic!("at\nonce")).ends_with("gave up: at once"));
        assert!(caught(|| drop(Vec::<u8>::new()[..].chunks(0))).contains("non-zero"));
        assert!(!GUARDED.get());
    }
}
