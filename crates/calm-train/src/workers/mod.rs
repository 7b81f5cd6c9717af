//! The batches of an optimiser step, spread over several devices and several machines.
//!
//! Every worker has the frozen models and computes gradients of the batches that it is assigned; only
//! parameters and gradients of what is trained are exchanged. [`GradientSum`]s are added up by the
//! numbers of their batches, so that neither how many workers there are nor which of them is the
//! fastest changes a bit of the sum, and the trainer divides it once by the target tokens of the
//! whole step.

mod connection;
mod error;
mod local;
mod message;
mod options;
mod remote;
mod server;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use burn::module::Module;
use calm_data::Batch;

pub use self::error::WorkerError;
pub use self::local::LocalWorker;
pub use self::options::RankOptions;
pub use self::remote::RemoteWorker;
pub use self::server::{WorkerEvent, WorkerServer};
use crate::sum::GradientSum;

/// Batches of an optimiser step that one worker computes the gradients of.
#[derive(Debug, Clone, Copy)]
pub struct RankBatches<'a> {
    /// 1-based step.
    pub step: usize,
    /// Its first batch, counted from 0 within the step.
    pub first: usize,
    /// The same batch, counted from 0 over the whole run.
    pub number: usize,
    /// The batches themselves.
    pub batches: &'a [Batch],
    /// Becomes true when nobody wants the result any more, as when another worker has failed.
    pub cancelled: &'a AtomicBool,
}

/// Somebody who computes gradients.
pub trait Worker<P>: Send {
    /// Name that the user gave it.
    fn name(&self) -> &str;

    /// Batches that it works on at a time.
    fn capacity(&self) -> usize {
        1
    }

    /// Gradients of the assigned batches, in their order.
    ///
    /// # Errors
    ///
    /// [`WorkerError`] if there will be none.
    fn gradients(
        &mut self,
        parameters: P,
        assigned: RankBatches<'_>,
    ) -> Result<Vec<GradientSum>, WorkerError>;

    /// The run is over.
    fn finish(&mut self) {}
}

/// All workers of a run, as the ranks of MPI.
pub struct Ranks<'a, P> {
    workers: Vec<Box<dyn Worker<P> + 'a>>,
}

/// A worker that failed.
#[derive(Debug, thiserror::Error)]
#[error("worker {worker} {error}")]
pub(crate) struct LostRank {
    pub(crate) worker: String,
    pub(crate) error: WorkerError,
}

impl<'a, P: Module> Ranks<'a, P> {
    /// These together, the first of whom takes the first batches of a step.
    pub fn new(workers: Vec<Box<dyn Worker<P> + 'a>>) -> Self {
        Self { workers }
    }

    /// Batches that they work on at a time.
    pub fn capacity(&self) -> usize {
        self.workers.iter().map(|worker| worker.capacity()).sum()
    }

    /// Names that the user gave them.
    pub fn names(&self) -> Vec<String> {
        let names = self.workers.iter().map(|worker| worker.name());
        names.map(str::to_owned).collect()
    }

    /// Gradients of all assigned batches, which are divided among the workers by their capacity.
    /// The first error is returned at once, but for what local workers are in the middle of.
    pub(crate) fn gradients(
        &mut self,
        parameters: &P,
        assigned: RankBatches<'_>,
    ) -> Result<Vec<GradientSum>, LostRank> {
        let (capacity, count) = (self.capacity(), assigned.batches.len());
        let (sender, results) = mpsc::channel();
        let mut sums: Vec<Vec<GradientSum>> = Vec::new();
        sums.resize_with(self.workers.len(), Vec::new);
        let mut lost = None;
        thread::scope(|scope| {
            let mut before = 0;
            for (index, worker) in self.workers.iter_mut().enumerate() {
                let start = before * count / capacity;
                before += worker.capacity();
                let end = before * count / capacity;
                let part = RankBatches {
                    first: assigned.first + start,
                    number: assigned.number + start,
                    batches: &assigned.batches[start..end],
                    ..assigned
                };
                let (sender, parameters) = (sender.clone(), parameters.clone());
                scope.spawn(move || {
                    let found = match part.batches {
                        [] => Ok(Vec::new()),
                        _ => worker.gradients(parameters, part),
                    };
                    let found = found.and_then(|sums| part.covered_by(sums));
                    let name = worker.name();
                    // The other end waits for every worker.
                    let _ = sender.send((index, found.map_err(|error| (name.to_owned(), error))));
                });
            }
            drop(sender);
            for (index, found) in results {
                match found {
                    Ok(found) => sums[index] = found,
                    Err((worker, error)) => {
                        assigned.cancelled.store(true, Ordering::Relaxed);
                        lost.get_or_insert(LostRank { worker, error });
                    }
                }
            }
        });
        match lost {
            Some(lost) => Err(lost),
            None => Ok(sums.into_iter().flatten().collect()),
        }
    }

    /// Tells all that the run is over.
    pub(crate) fn finish(&mut self) {
        for worker in &mut self.workers {
            worker.finish();
        }
    }
}

impl RankBatches<'_> {
    /// Whether nobody wants the result any more.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The sums, if they are those of all assigned batches in their order.
    fn covered_by(&self, sums: Vec<GradientSum>) -> Result<Vec<GradientSum>, WorkerError> {
        let end = sums.iter().try_fold(self.first, |next, sum| {
            (sum.first == next && sum.batches > 0).then_some(next + sum.batches)
        });
        if end == Some(self.first + self.batches.len()) {
            return Ok(sums);
        }
        let reason = "gradients of other batches than it was asked for".to_owned();
        Err(WorkerError::Protocol { reason })
    }
}

impl<P> fmt::Debug for Ranks<'_, P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.workers.iter().map(|worker| worker.name());
        formatter.debug_list().entries(names).finish()
    }
}
