//! Devices and processes that share the batches of every step.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;
use calm_compose::Bridges;
use serde::Serialize;

use super::config::RankConfig;
use super::{Observer, RunContext, RunEvent};
use crate::{
    BatchSource, BridgeTraining, LocalWorker, RankOptions, Ranks, RemoteWorker, TrainError, Worker,
    WorkerServer,
};

/// Devices of this machine, the first of which holds what is trained.
pub(super) struct LocalDevices {
    /// Each device once.
    pub(super) distinct: Vec<Device>,
    /// Name and number among the distinct devices of every worker.
    workers: Vec<(String, usize)>,
}

impl LocalDevices {
    pub(super) fn main(&self) -> &Device {
        &self.distinct[0]
    }

    /// Threads of a device: processors share those that there are, a GPU is fed by one.
    fn threads(&self, of: usize) -> usize {
        if !calm_backend::is_processor(&self.distinct[of]) {
            return 1;
        }
        let is_processor = |(_, of): &&(_, usize)| calm_backend::is_processor(&self.distinct[*of]);
        let processors = self.workers.iter().filter(is_processor).count();
        (calm_backend::threads() / processors).max(1)
    }

    /// A worker for each; `objectives` are those of the distinct devices.
    fn workers<'a>(
        &self,
        objectives: &'a [BridgeTraining<'a>],
    ) -> Result<Vec<Box<dyn Worker<Bridges> + 'a>>, TrainError> {
        let worker = |(name, of): &(String, usize)| {
            let (device, threads) = (&self.distinct[*of], self.threads(*of));
            let worker = LocalWorker::new(name, &objectives[*of], device, threads)?;
            Ok(Box::new(worker) as Box<dyn Worker<Bridges> + 'a>)
        };
        self.workers.iter().map(worker).collect()
    }
}

impl RankConfig {
    /// Whether this process has no run of its own.
    pub(super) fn is_listening(&self) -> bool {
        self.listen.is_some()
    }

    /// Whether the steps of a run are shared.
    pub(super) fn is_shared(&self) -> bool {
        !self.devices.is_empty() || !self.workers.is_empty()
    }

    /// The devices of this machine that are used.
    pub(super) fn local(&self, context: &RunContext) -> Result<LocalDevices, TrainError> {
        if self.devices.is_empty() {
            return Ok(LocalDevices {
                distinct: vec![context.device.clone()],
                workers: vec![(context.device_name.clone(), 0)],
            });
        }
        let mut devices = LocalDevices {
            distinct: Vec::new(),
            workers: Vec::new(),
        };
        for name in &self.devices {
            let device = calm_backend::device(name)?;
            let distinct = &mut devices.distinct;
            let of = distinct.iter().position(|known| *known == device);
            let of = of.unwrap_or_else(|| {
                distinct.push(device);
                distinct.len() - 1
            });
            devices.workers.push((name.clone(), of));
        }
        Ok(devices)
    }

    /// All workers of a run with this identity; none if its one device computes everything.
    pub(super) fn connect<'a>(
        &self,
        local: &LocalDevices,
        objectives: &'a [BridgeTraining<'a>],
        identity: &impl Serialize,
        accumulation: usize,
    ) -> Result<Option<Ranks<'a, Bridges>>, TrainError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let options = self.options()?;
        let mut workers = local.workers(objectives)?;
        for address in &self.workers {
            let worker = RemoteWorker::connect(address, &options, identity)?;
            workers.push(Box::new(worker));
        }
        let ranks = Ranks::new(workers);
        self.check_capacity(ranks.capacity(), accumulation)?;
        Ok(Some(ranks))
    }

    /// Checks that a step has a batch for every worker.
    pub(super) fn check_capacity(
        &self,
        capacity: usize,
        accumulation: usize,
    ) -> Result<(), TrainError> {
        if capacity <= accumulation {
            return Ok(());
        }
        let reason = format!(
            "is {accumulation}, so that a step has too few batches for {capacity} devices; give at \
             least {capacity}, perhaps with fewer --rows"
        );
        Err(TrainError::setting("accumulation", reason))
    }

    /// Listens, before there is a model, at the address that was given.
    pub(super) fn bind(&self) -> Result<Option<WorkerServer>, TrainError> {
        let Some(address) = &self.listen else {
            return Ok(None);
        };
        if self.worker_token.is_none() && !is_of_this_machine(address) {
            let reason = format!(
                "{address} can be reached from other machines; give --worker-token, so that only \
                 those work with it that have the same"
            );
            return Err(TrainError::setting("listen", reason));
        }
        Ok(Some(WorkerServer::bind(address, self.options()?)?))
    }

    fn options(&self) -> Result<RankOptions, TrainError> {
        let read = |path: &PathBuf| {
            let malformed = |reason: String| TrainError::Malformed {
                path: path.clone(),
                reason,
            };
            let token = calm_files::read_text(path)
                .map_err(|error| malformed(format!("the token cannot be read: {error}")))?;
            let token = token.trim().to_owned();
            let is_sound = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
            if !is_sound {
                let reason = "a token is one line of printable ASCII characters without spaces";
                return Err(malformed(reason.to_owned()));
            }
            Ok(token)
        };
        Ok(RankOptions {
            token: self.worker_token.as_ref().map(read).transpose()?,
            patience: Duration::from_secs(self.worker_timeout),
        })
    }
}

/// Works for the run of another process until it is over. Returns the address that it listened at.
pub(super) fn serve(
    server: &WorkerServer,
    bridges: Bridges,
    identity: &impl Serialize,
    batches: &impl BatchSource,
    (local, objectives): (&LocalDevices, &[BridgeTraining<'_>]),
    observer: &mut dyn Observer,
) -> Result<SocketAddr, TrainError> {
    let mut ranks = Ranks::new(local.workers(objectives)?);
    let address = server.address();
    let _ = observer.observe(RunEvent::Listening(address));
    server.serve(bridges, identity, batches, &mut ranks, |event| {
        let _ = observer.observe(RunEvent::Worker { address, event });
    })?;
    Ok(address)
}

/// Whether no other machine can reach an address. One that cannot be resolved fails when it is
/// listened at.
fn is_of_this_machine(address: &str) -> bool {
    let is_loopback = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    address
        .to_socket_addrs()
        .map_or(true, |mut found| found.all(is_loopback))
}
