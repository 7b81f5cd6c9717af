//! Threads that look for work for a while before they go to sleep.
//!
//! Waking a thread takes as long as an operation of decoding. A token takes hundreds of these, with
//! short serial work in between, and Rayon's threads go to sleep after some microseconds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time for which a thread looks for work: longer than the gap between two operations of a token.
const PATIENCE: Duration = Duration::from_micros(200);

/// Threads that are looking for work.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// Makes all threads but this one look for work, which the caller is about to hand out. They are
/// called again once all of them have given up.
pub(super) fn keep_awake() {
    let caller = rayon::current_thread_index();
    let others = rayon::current_num_threads() - usize::from(caller.is_some());
    let call = LOOKING.compare_exchange(0, others, Ordering::Relaxed, Ordering::Relaxed);
    if call.is_ok() {
        rayon::spawn_broadcast(move |thread| {
            // The caller has work of its own.
            if Some(thread.index()) != caller {
                look_for_work();
                LOOKING.fetch_sub(1, Ordering::Relaxed);
            }
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
