//! The allocator of programs that compute on the processor.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// mimalloc, to be declared as the `#[global_allocator]` of a program.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay`, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// The delay that means never.
const NEVER: c_long = -1;

/// Keeps freed memory in the process for later allocations. Otherwise the system takes it back and
/// clears it between two steps of training, which took a tenth of a step. Programs with
/// [`Allocator`] call this once, at their start.
pub fn keep_freed_memory() {
    #[expect(unsafe_code, reason = "the allocator is a C library")]
    // SAFETY: The function accepts any number as an option, and any value for an option it knows.
    unsafe {
        mi_option_set(PURGE_DELAY, NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PURGE_DELAY` is the number of the option in this version of the library.
    #[test]
    fn the_option_is_the_delay_of_purges() {
        let delay = || {
            #[expect(unsafe_code, reason = "the allocator is a C library")]
            // SAFETY: The library has this option.
            unsafe {
                libmimalloc_sys::mi_option_get(PURGE_DELAY)
            }
        };
        assert_eq!(delay(), 1000, "milliseconds, by default");
        keep_freed_memory();
        assert_eq!(delay(), NEVER);
    }
}
