//! Moves records from the reader through the steps to what takes them.

use std::collections::BTreeMap;
use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::prelude::*;

use crate::DataError;
use crate::builders::{BuildObserver, BuildPart};
use crate::corpus::{Chunk, Judged, Record, Sink, Skip, Step};

/// Chunks that the reader may be ahead.
const AHEAD: usize = 2;

/// Records that the reader passed over: index of the corpus, reason, number.
pub(in crate::builders) type Skipped = BTreeMap<(u32, Skip), u64>;

/// Reads all, `total` bytes, applies the steps on all threads, and gives the records to `sink` in their order.
/// Returns what the reader passed over.
///
/// # Errors
///
/// The first of the reader or of `sink`, and [`DataError::Interrupted`] if `observer` says so.
pub(in crate::builders) fn drive<R: Record>(
    reader: &mut (impl Iterator<Item = Result<Chunk<R>, DataError>> + Send),
    total: u64,
    steps: &[Box<dyn Step<R>>],
    sink: &mut dyn Sink<R>,
    observer: &mut dyn BuildObserver,
) -> Result<Skipped, DataError> {
    let mut skipped = Skipped::new();
    thread::scope(|scope| {
        let (sender, chunks) = sync_channel(AHEAD);
        scope.spawn(move || {
            for chunk in reader {
                // Nobody takes any more after an error.
                if sender.send(chunk).is_err() {
                    break;
                }
            }
        });
        for chunk in chunks {
            let chunk = chunk?;
            for (place, count) in chunk.skipped {
                *skipped.entry(place).or_default() += count;
            }
            let records = chunk.records.into_par_iter();
            let judged: Vec<Judged<R>> = records.map(|record| Judged::by(steps, record)).collect();
            sink.take(judged)?;
            if !observer.advance(BuildPart::Reading, chunk.taken, total) {
                return Err(DataError::Interrupted);
            }
        }
        Ok(skipped)
    })
}
