//! A process that works for the run of another one.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use burn::module::Module;
use calm_data::Batch;
use serde::Serialize;

use super::connection::Connection;
use super::message::{self, Reply, Request};
use super::{RankBatches, RankOptions, Ranks, WorkerError};
use crate::sum::GradientSum;
use crate::{BatchSource, TrainError};

/// How often a worker that computes says so.
const BEAT: Duration = Duration::from_secs(1);

/// Event of a worker.
#[derive(Debug)]
pub enum WorkerEvent {
    /// The process of a run was let in.
    Joined {
        /// Where from.
        peer: SocketAddr,
    },
    /// Somebody was not let in.
    Refused {
        /// Where from.
        peer: SocketAddr,
        /// Why.
        error: WorkerError,
    },
    /// The process of the run is gone, before the run was over.
    Left {
        /// Where it was.
        peer: SocketAddr,
        /// How.
        error: WorkerError,
    },
}

/// Listens for the process of a run, and computes gradients for it.
///
/// One process at a time is served. Another one that comes meanwhile waits, and gives up.
#[derive(Debug)]
pub struct WorkerServer {
    listener: TcpListener,
    address: SocketAddr,
    options: RankOptions,
}

impl WorkerServer {
    /// Listens at `address`, a host and a port; port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// [`TrainError::Listen`] if that cannot be.
    pub fn bind(address: &str, options: RankOptions) -> Result<Self, TrainError> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        let (listener, found) = bound.map_err(|source| TrainError::Listen {
            address: address.to_owned(),
            source,
        })?;
        Ok(Self {
            listener,
            address: found,
            options,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Works for the run with these `settings`, whose process may leave and come back, until that
    /// says that it is over.
    ///
    /// `parameters` are those of the run in number, shapes and types; their values come with every
    /// step. The work is done by `ranks`, on `batches` of its own.
    ///
    /// # Errors
    ///
    /// [`TrainError::Listen`] if the system accepts no more connections.
    pub fn serve<P: Module>(
        &self,
        mut parameters: P,
        settings: &impl Serialize,
        batches: &impl BatchSource,
        ranks: &mut Ranks<'_, P>,
        mut observe: impl FnMut(WorkerEvent),
    ) -> Result<(), TrainError> {
        loop {
            let (stream, peer) = self.accept()?;
            let accepted = Connection::accept(stream, &self.options, settings, ranks.capacity());
            let mut connection = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    observe(WorkerEvent::Refused { peer, error });
                    continue;
                }
            };
            observe(WorkerEvent::Joined { peer });
            let mut work = Work {
                connection: &mut connection,
                patience: self.options.patience,
                batches,
                ranks,
            };
            match work.until_finished(&mut parameters) {
                Ok(()) => return Ok(()),
                Err(error) => observe(WorkerEvent::Left { peer, error }),
            }
        }
    }

    fn accept(&self) -> Result<(TcpStream, SocketAddr), TrainError> {
        self.listener.accept().map_err(|source| TrainError::Listen {
            address: self.address.to_string(),
            source,
        })
    }
}

/// Work for one process.
struct Work<'a, 'b, P, B> {
    connection: &'a mut Connection,
    patience: Duration,
    batches: &'a B,
    ranks: &'a mut Ranks<'b, P>,
}

/// Batches that the process of the run asked for.
struct Asked {
    step: usize,
    first: usize,
    number: usize,
    batches: Vec<Batch>,
}

impl<P: Module, B: BatchSource> Work<'_, '_, P, B> {
    fn until_finished(&mut self, parameters: &mut P) -> Result<(), WorkerError> {
        loop {
            // Between steps the process of the run may validate and save for as long as it likes.
            let (step, first, number, count) = match self.connection.receive(None, || false)? {
                Request::Finished => return Ok(()),
                Request::Gradients {
                    step,
                    first,
                    number,
                    batches,
                } => (step, first, number, batches),
            };
            *parameters = self.receive_parameters(parameters)?;
            let batches = (0..count).map(|nth| self.batches.batch(number + nth));
            let asked = batches.collect::<Result<_, _>>().map(|batches| Asked {
                step,
                first,
                number,
                batches,
            });
            let sums = match asked {
                Ok(asked) => self.compute(parameters, &asked)?,
                Err(error) => Err(error.to_string()),
            };
            match sums {
                Ok(sums) => self.send(parameters, sums)?,
                Err(reason) => self.connection.send(&Reply::Failed { reason })?,
            }
        }
    }

    fn receive_parameters(&mut self, parameters: &P) -> Result<P, WorkerError> {
        let values = message::heads(parameters).into_iter().map(|head| {
            let value = self
                .connection
                .receive_tensor(&head, self.patience, || false)?;
            value.ok_or_else(|| WorkerError::Protocol {
                reason: "a parameter without a value".to_owned(),
            })
        });
        let values = values.collect::<Result<_, WorkerError>>()?;
        Ok(message::with_values(parameters.clone(), values))
    }

    /// The sums, or why there are none. While they are computed, the other end is told so; if it is
    /// gone, that is found out, and the rest is not computed.
    fn compute(
        &mut self,
        parameters: &P,
        asked: &Asked,
    ) -> Result<Result<Vec<GradientSum>, String>, WorkerError> {
        let cancelled = AtomicBool::new(false);
        let assigned = RankBatches {
            step: asked.step,
            first: asked.first,
            number: asked.number,
            batches: &asked.batches,
            cancelled: &cancelled,
        };
        let (ranks, connection) = (&mut *self.ranks, &mut *self.connection);
        let parameters = parameters.clone();
        thread::scope(|scope| {
            let (sender, computed) = mpsc::channel();
            scope.spawn(move || {
                // The other end waits for it.
                let _ = sender.send(ranks.gradients(&parameters, assigned));
            });
            loop {
                match computed.recv_timeout(BEAT) {
                    Ok(sums) => return Ok(sums.map_err(|lost| lost.to_string())),
                    Err(RecvTimeoutError::Timeout) => {
                        connection.send(&Reply::Busy).inspect_err(|_| {
                            cancelled.store(true, Ordering::Relaxed);
                        })?;
                    }
                    // The thread has panicked, and so will this one when it is joined.
                    Err(RecvTimeoutError::Disconnected) => return Ok(Err(String::new())),
                }
            }
        })
    }

    fn send(&mut self, parameters: &P, sums: Vec<GradientSum>) -> Result<(), WorkerError> {
        for sum in sums {
            self.connection.send(&Reply::Sum {
                first: sum.first,
                batches: sum.batches,
                loss: sum.loss,
            })?;
            for value in message::of_gradients(parameters, sum.gradients) {
                self.connection.send_tensor(value.as_ref())?;
            }
        }
        self.connection.send(&Reply::Done)
    }
}
