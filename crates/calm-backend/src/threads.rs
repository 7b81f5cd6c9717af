//! How many threads the processor's operations run on.

use std::num::NonZeroUsize;

use crate::DeviceError;

/// Has operations on the processor run on so many threads. Without this they run on as many as
/// there are processors, or as the variable `RAYON_NUM_THREADS` says. Their number changes no bit
/// of a result.
///
/// # Errors
///
/// [`DeviceError::ThreadsStarted`] if they are at work already: a program says this once, before
/// all else.
pub fn use_threads(count: NonZeroUsize) -> Result<(), DeviceError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count.get());
    pool.build_global()
        .map_err(|_| DeviceError::ThreadsStarted { count: threads() })
}

/// How many threads operations that this thread begins run on.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
