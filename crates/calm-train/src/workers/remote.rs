//! A process of another machine, as the process of the run sees it.

use std::time::Duration;

use burn::module::Module;
use serde::Serialize;

use super::connection::Connection;
use super::message::{self, Reply, Request};
use super::{Share, Worker, WorkerError};
use crate::TrainError;
use crate::sum::GradientSum;

/// On what terms two processes work together.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What a stranger does not know. It travels unencrypted.
    pub token: Option<String>,
    /// How long to wait for somebody who says nothing. Workers that compute say so every second.
    pub patience: Duration,
}

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
        terms: &Terms,
        settings: &impl Serialize,
    ) -> Result<Self, TrainError> {
        let unusable = |source| TrainError::Worker {
            worker: address.to_owned(),
            source,
        };
        let connection = Connection::open(address, terms, settings).map_err(unusable)?;
        if connection.capacity == 0 {
            let reason = "it works on nothing".to_owned();
            return Err(unusable(WorkerError::Protocol { reason }));
        }
        Ok(Self {
            address: address.to_owned(),
            connection,
            patience: terms.patience,
        })
    }

    fn ask<P: Module>(&mut self, parameters: &P, share: Share<'_>) -> Result<(), WorkerError> {
        self.connection.send(&Request::Gradients {
            step: share.step,
            first: share.first,
            number: share.number,
            batches: share.batches.len(),
        })?;
        let values = message::values(parameters).into_iter();
        values
            .map(Some)
            .try_for_each(|value| self.connection.send_tensor(value.as_ref()))
    }

    fn next(&mut self, share: Share<'_>) -> Result<Reply, WorkerError> {
        let patience = Some(self.patience);
        self.connection.receive(patience, || share.is_cancelled())
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
        share: Share<'_>,
    ) -> Result<Vec<GradientSum>, WorkerError> {
        self.ask(&parameters, share)?;
        let mut sums = Vec::new();
        loop {
            match self.next(share)? {
                Reply::Busy => {}
                Reply::Sum {
                    first,
                    batches,
                    loss,
                } => {
                    let heads = message::heads(&parameters).into_iter();
                    let values = heads.map(|head| {
                        let is_cancelled = || share.is_cancelled();
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
