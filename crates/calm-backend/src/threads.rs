//! Threads of the processor's operations.

use std::num::NonZeroUsize;

use crate::DeviceError;

/// Sets the number of threads of the processor's operations. The calling thread is one of them and
/// computes a share itself. Without a number, `RAYON_NUM_THREADS` decides, else the number of
/// processors. Results do not depend on the number, bit for bit.
///
/// # Errors
///
/// [`DeviceError::ThreadsStarted`] if threads are at work already: a program calls this once, first
/// of all.
pub fn use_threads(count: Option<NonZeroUsize>) -> Result<(), DeviceError> {
    let count = count.unwrap_or_else(default_count);
    let mut pool = rayon::ThreadPoolBuilder::new().num_threads(count.get());
    // A pool of the calling thread alone would have all others wait whenever it waits for them.
    if count.get() > 1 {
        pool = pool.use_current_thread();
    }
    pool.build_global()
        .map_err(|_| DeviceError::ThreadsStarted { count: threads() })
}

/// The default of rayon, which rayon does not expose.
fn default_count() -> NonZeroUsize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|count| count.parse().ok());
    asked
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// The number of threads that run the operations of this thread.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
