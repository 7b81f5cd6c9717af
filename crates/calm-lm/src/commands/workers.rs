//! Who computes the batches of a step, where it is not one device alone.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;
use calm_lm::backend;
use calm_lm::compose::Bridges;
use calm_lm::train::{
    BatchSource, BridgeTraining, Crew, LocalWorker, RemoteWorker, Terms, Worker, WorkerEvent,
    WorkerServer,
};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::Report;

#[derive(Debug, Args)]
#[command(next_help_heading = "Several devices and machines")]
pub(super) struct WorkerArgs {
    /// Devices of this machine that share the batches of every step, as cuda:0,cuda:1; one that is
    /// named twice works on two at a time [default: that of --device]
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        conflicts_with_all = ["device", "baseline"]
    )]
    devices: Vec<String>,
    /// Processes that share them, too: HOST:PORT of each that was started with --listen. No
    /// concern of such a process itself
    #[arg(
        long,
        value_name = "ADDRESSES",
        value_delimiter = ',',
        conflicts_with = "baseline"
    )]
    workers: Vec<String>,
    /// Have no run, but work for that of another process, started with the same flags, until it is
    /// over. Port 0 is one that is free
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["dry_run", "tui", "baseline"])]
    listen: Option<String>,
    /// File with a secret that both sides have, which is needed to listen to other machines
    #[arg(long, value_name = "FILE")]
    worker_token: Option<PathBuf>,
    /// Seconds that a worker may take to begin listening, or to say that it is still there
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(2..=86_400)
    )]
    worker_timeout: u64,
}

/// Devices of this machine, the first of which holds what is trained.
pub(super) struct LocalDevices {
    /// Each once.
    pub(super) distinct: Vec<Device>,
    /// Name, and place among the distinct ones, of everyone that computes.
    workers: Vec<(String, usize)>,
}

impl LocalDevices {
    pub(super) fn main(&self) -> &Device {
        &self.distinct[0]
    }

    /// Threads for each: the processors share those that there are, a GPU is fed by one.
    fn threads(&self, of: usize) -> usize {
        if !backend::is_processor(&self.distinct[of]) {
            return 1;
        }
        let is_processor = |(_, of): &&(_, usize)| backend::is_processor(&self.distinct[*of]);
        let processors = self.workers.iter().filter(is_processor).count();
        (calm_lm::backend::threads() / processors).max(1)
    }

    /// Somebody for each, `objectives` being those of the distinct devices.
    fn workers<'a>(
        &self,
        objectives: &'a [BridgeTraining<'a>],
    ) -> Result<Vec<Box<dyn Worker<Bridges> + 'a>>, Failure> {
        let worker = |(name, of): &(String, usize)| {
            let (device, threads) = (&self.distinct[*of], self.threads(*of));
            let worker = LocalWorker::new(name, &objectives[*of], device, threads)?;
            Ok(Box::new(worker) as Box<dyn Worker<Bridges> + 'a>)
        };
        self.workers.iter().map(worker).collect()
    }
}

impl WorkerArgs {
    /// Whether this process has no run of its own.
    pub(super) fn is_listening(&self) -> bool {
        self.listen.is_some()
    }

    /// Whether the steps of a run are shared.
    fn is_shared(&self) -> bool {
        !self.devices.is_empty() || !self.workers.is_empty()
    }

    /// The devices of this machine that are used.
    pub(super) fn local(&self, common: &Common) -> Result<LocalDevices, Failure> {
        if self.devices.is_empty() {
            let name = common.device_name().to_owned();
            let distinct = vec![common.device()?];
            let workers = vec![(name, 0)];
            return Ok(LocalDevices { distinct, workers });
        }
        let mut devices = LocalDevices {
            distinct: Vec::new(),
            workers: Vec::new(),
        };
        for name in &self.devices {
            let device = backend::device(name)?;
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

    /// Whether a step has a batch for everybody of whom is known before they are asked.
    pub(super) fn check(&self, accumulation: usize) -> Result<(), Failure> {
        let devices = self.devices.len().max(1);
        match self.is_shared() && !self.is_listening() {
            true => check_capacity(devices + self.workers.len(), accumulation),
            false => Ok(()),
        }
    }

    /// Everybody who computes for a run with these settings, if that is not this device alone.
    pub(super) fn crew<'a>(
        &self,
        local: &LocalDevices,
        objectives: &'a [BridgeTraining<'a>],
        settings: &Value,
        accumulation: usize,
    ) -> Result<Option<Crew<'a, Bridges>>, Failure> {
        if !self.is_shared() {
            return Ok(None);
        }
        let terms = self.terms()?;
        let mut workers = local.workers(objectives)?;
        for address in &self.workers {
            let worker = RemoteWorker::connect(address, &terms, settings)?;
            workers.push(Box::new(worker));
        }
        let crew = Crew::new(workers);
        check_capacity(crew.capacity(), accumulation)?;
        Ok(Some(crew))
    }

    /// Listens, before there is a model, at the address that was given.
    pub(super) fn bind(&self) -> Result<Option<WorkerServer>, Failure> {
        let Some(address) = &self.listen else {
            return Ok(None);
        };
        if self.worker_token.is_none() && !is_of_this_machine(address) {
            let reason = format!(
                "{address} can be reached from other machines; give --worker-token, so that only \
                 those work with it that have the same"
            );
            return Err(Failure::flag("--listen", reason));
        }
        Ok(Some(WorkerServer::bind(address, self.terms()?)?))
    }

    fn terms(&self) -> Result<Terms, Failure> {
        let read = |path: &PathBuf| {
            let token = fs::read_to_string(path).map_err(|error| {
                Failure::path(path, format!("the token cannot be read: {error}"))
            })?;
            let token = token.trim().to_owned();
            let is_sound = !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic());
            if !is_sound {
                let reason = "a token is one line of printable ASCII characters without spaces";
                return Err(Failure::path(path, reason));
            }
            Ok(token)
        };
        Ok(Terms {
            token: self.worker_token.as_ref().map(read).transpose()?,
            patience: Duration::from_secs(self.worker_timeout),
        })
    }
}

/// Works for the run of another process until it is over.
pub(super) fn serve(
    server: &WorkerServer,
    bridges: Bridges,
    settings: &Value,
    batches: &impl BatchSource,
    (local, objectives): (&LocalDevices, &[BridgeTraining<'_>]),
    quiet: bool,
) -> Result<Report, Failure> {
    let mut crew = Crew::new(local.workers(objectives)?);
    let address = server.address();
    // Whoever closed standard error does not want to know.
    let tell = |line: String| drop(writeln!(io::stderr(), "{line}"));
    tell(format!("listening at {address}"));
    server.serve(bridges, settings, batches, &mut crew, |event| {
        let line = match event {
            WorkerEvent::Joined { peer } => format!("working for {peer}"),
            WorkerEvent::Refused { peer, error } => format!("{peer} {error}"),
            WorkerEvent::Left { peer, error } => {
                format!("{peer} {error}; listening at {address} again")
            }
        };
        if !quiet {
            tell(line);
        }
    })?;
    Ok(Report::new(
        "the run is over\n",
        json!({ "listened_at": address }),
    ))
}

/// Whether nobody would have nothing to do.
fn check_capacity(capacity: usize, accumulation: usize) -> Result<(), Failure> {
    if capacity <= accumulation {
        return Ok(());
    }
    let reason = format!(
        "is {accumulation}, so that a step has too few batches for {capacity} devices; give at \
         least {capacity}, perhaps with fewer --rows"
    );
    Err(Failure::flag("--accumulation", reason))
}

/// Whether no other machine can get there. What cannot be told will be when it is listened at.
fn is_of_this_machine(address: &str) -> bool {
    let is_loopback = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    address
        .to_socket_addrs()
        .map_or(true, |mut found| found.all(is_loopback))
}
