//! The allocator of programs that compute on the processor.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// mimalloc, to be declared as the `#[global_allocator]` of a program.
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay`, which the bindings have no name for.
const PURGE_DELAY: mi_option_t = 15;

/// The delay that stands for never.
const NEVER: c_long = -1;

/// Memory that was freed stays with the process for what it allocates next. Otherwise the system
/// takes it back and clears it between any two steps of training, in which each operation has fresh
/// memory for its output: that was a tenth of a step. Programs that have [`Allocator`] call this
/// once, when they begin.
pub fn keep_freed_memory() {
    #[expect(unsafe_code, reason = "the allocator is a C library")]
    // SAFETY: It takes any number as an option, and any value for one that it knows.
    unsafe {
        mi_option_set(PURGE_DELAY, NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of an option is that of this version of the library.
    #[test]
    fn the_option_is_the_delay_of_purges() {
        let delay = || {
            #[expect(unsafe_code, reason = "the allocator is a C library")]
            // SAFETY: The option is one that it has.
            unsafe {
                libmimalloc_sys::mi_option_get(PURGE_DELAY)
            }
        };
        assert_eq!(delay(), 1000, "milliseconds, by default");
        keep_freed_memory();
        assert_eq!(delay(), NEVER);
    }
}
