//! How many threads the processor's operations run on.

use std::num::NonZeroUsize;

use crate::DeviceError;

/// Has operations on the processor run on so many threads, of which the calling one is the first:
/// it then computes a share itself, instead of sleeping until others are done. Without a number they
/// are as many as there are processors, or as the variable `RAYON_NUM_THREADS` says. Their number
/// changes no bit of a result.
///
/// # Errors
///
/// [`DeviceError::ThreadsStarted`] if they are at work already: a program says this once, before
/// all else.
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

/// As rayon has it, which does not tell.
fn default_count() -> NonZeroUsize {
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|count| count.parse().ok());
    asked
        .or_else(|| std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN)
}

/// How many threads operations that this thread begins run on.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
