//! A device of this machine.

use std::{fmt, mem};

use burn::module::Module;
use burn::tensor::Device;

use super::{RankBatches, Worker, WorkerError};
use crate::sum::{GradientSum, PairwiseSum};
use crate::{Objective, TrainError};

/// A device of this machine, which computes on threads of its own.
pub struct LocalWorker<'a, O> {
    name: String,
    objective: &'a O,
    device: Device,
    /// Work for a GPU is always submitted by the same thread: streams belong to threads.
    threads: rayon::ThreadPool,
}

impl<'a, O: Objective> LocalWorker<'a, O> {
    /// A worker that computes with so many threads on `device`, where everything is that belongs to
    /// `objective`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Threads`] if the system has no more threads.
    pub fn new(
        name: impl Into<String>,
        objective: &'a O,
        device: &Device,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        Ok(Self {
            name: name.into(),
            objective,
            device: device.clone().autodiff(),
            threads: threads.map_err(|source| TrainError::Threads { source })?,
        })
    }
}

impl<O> Worker<O::Parameters> for LocalWorker<'_, O>
where
    O: Objective + Sync,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn gradients(
        &mut self,
        parameters: O::Parameters,
        assigned: RankBatches<'_>,
    ) -> Result<Vec<GradientSum>, WorkerError> {
        let home = parameters.devices().into_iter().next();
        // Leaves of its own: graphs that have a leaf in common are locked together.
        let own = parameters.fork(&self.device);
        let objective = self.objective;
        self.threads.install(move || {
            let mut sums = sums(objective, &own, assigned)?;
            if let Some(home) = home {
                let home = home.without_autodiff();
                for sum in &mut sums {
                    sum.gradients = mem::take(&mut sum.gradients).to_device(&home, &own);
                }
            }
            Ok(sums)
        })
    }
}

/// Gradients of the assigned batches, computed by the calling thread.
fn sums<O: Objective>(
    objective: &O,
    parameters: &O::Parameters,
    assigned: RankBatches<'_>,
) -> Result<Vec<GradientSum>, WorkerError> {
    let mut sums = PairwiseSum::default();
    for (number, batch) in (assigned.first..).zip(assigned.batches) {
        if assigned.is_cancelled() {
            return Err(WorkerError::Cancelled);
        }
        let next = GradientSum::of(objective, parameters, number, batch);
        sums.push(next, parameters);
    }
    Ok(sums.into_parts())
}

impl<O> fmt::Debug for LocalWorker<'_, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalWorker")
            .field("name", &self.name)
            .field("threads", &self.threads.current_num_threads())
            .finish_non_exhaustive()
    }
}
