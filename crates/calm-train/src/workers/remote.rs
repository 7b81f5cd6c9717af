//! A process of another machine, as the process of the run sees it.

use std::time::Duration;

use burn::module::Module;
use serde::Serialize;

use super::connection::Connection;
use super::message::{self, Reply, Request};
use super::{RankBatches, RankOptions, Worker, WorkerError};
use crate::TrainError;
use crate::sum::GradientSum;

/// A [`WorkerServer`](super::WorkerServer) of another process.
#[derive(Debug)]
pub struct RemoteWorker {
    address: String,
    connection: Connection,
    patience: Duration,
}

impl RemoteWorker {
    /// The worker that listens, or soon will, at `address`, a host and a port. `settings` is what
    /// the outcome of the run depends on, as in [`RunDir::open`](crate::RunDir::open): its worker
    /// must have the same.
    ///
    /// # Errors
    ///
    /// [`TrainError::Worker`] if it cannot be reached, or is not of the same run.
    pub fn connect(
        address: &str,
        options: &RankOptions,
        settings: &impl Serialize,
    ) -> Result<Self, TrainError> {
        let unusable = |source| TrainError::Worker {
            worker: address.to_owned(),
            source,
        };
        let connection = Connection::open(address, options, settings).map_err(unusable)?;
        if connection.capacity == 0 {
            let reason = "it works on nothing".to_owned();
            return Err(unusable(WorkerError::Protocol { reason }));
        }
        Ok(Self {
            address: address.to_owned(),
            connection,
            patience: options.patience,
        })
    }

    fn ask<P: Module>(
        &mut self,
        parameters: &P,
        assigned: RankBatches<'_>,
    ) -> Result<(), WorkerError> {
        self.connection.send(&Request::Gradients {
            step: assigned.step,
            first: assigned.first,
            number: assigned.number,
            batches: assigned.batches.len(),
        })?;
        let values = message::values(parameters).into_iter();
        values
            .map(Some)
            .try_for_each(|value| self.connection.send_tensor(value.as_ref()))
    }

    fn next(&mut self, assigned: RankBatches<'_>) -> Result<Reply, WorkerError> {
        let patience = Some(self.patience);
        self.connection
            .receive(patience, || assigned.is_cancelled())
    }
}

impl<P: Module> Worker<P> for RemoteWorker {
    fn name(&self) -> &str {
        &self.address
    }

    fn capacity(&self) -> usize {
        self.connection.capacity
    }

    fn gradients(
        &mut self,
        parameters: P,
        assigned: RankBatches<'_>,
    ) -> Result<Vec<GradientSum>, WorkerError> {
        self.ask(&parameters, assigned)?;
        let mut sums = Vec::new();
        loop {
            match self.next(assigned)? {
                Reply::Busy => {}
                Reply::Sum {
                    first,
                    batches,
                    loss,
                } => {
                    let heads = message::heads(&parameters).into_iter();
                    let values = heads.map(|head| {
                        let is_cancelled = || assigned.is_cancelled();
                        self.connection
                            .receive_tensor(&head, self.patience, is_cancelled)
                    });
                    let values = values.collect::<Result<_, _>>()?;
                    sums.push(GradientSum {
                        first,
                        batches,
                        loss,
                        gradients: message::to_gradients(&parameters, values),
                    });
                }
                Reply::Done => return Ok(sums),
                Reply::Failed { reason } => return Err(WorkerError::Failed { reason }),
            }
        }
    }

    fn finish(&mut self) {
        // A worker that does not hear of it only goes on listening.
        let _ = self.connection.send(&Request::Finished);
    }
}
