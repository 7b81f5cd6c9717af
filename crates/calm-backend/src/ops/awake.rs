//! Threads that look for work for a while before they go to sleep.
//!
//! To wake a thread takes as long as an operation of decoding, and there are hundreds of these for
//! every token, with a little in between that one thread does alone. Rayon's threads give up after
//! some microseconds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a thread looks for work. Longer than what lies between two operations of a token.
const PATIENCE: Duration = Duration::from_micros(200);

/// Threads that are looking.
static AWAKE: AtomicUsize = AtomicUsize::new(0);

/// Has all threads but this one look for work, which the caller is about to have.
pub(super) fn keep_awake() {
    let others = rayon::current_num_threads() - 1;
    while AWAKE.load(Ordering::Relaxed) < others {
        AWAKE.fetch_add(1, Ordering::Relaxed);
        rayon::spawn(|| {
            look_for_work();
            AWAKE.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn look_for_work() {
    let mut found = Instant::now();
    while found.elapsed() < PATIENCE {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => found = Instant::now(),
            // Others may need the processor.
            _ => thread::yield_now(),
        }
    }
}
