//! Flags of every verb.

use std::cell::OnceCell;
use std::num::NonZeroUsize;

use burn::tensor::Device;
use calm_lm::backend::{Backend, DeviceError, guard};
use calm_lm::terminal::{Display, RunDisplay};
use calm_lm::train::runs::{RunContext, program};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::settings::ConfigFile;

/// Flags of every verb.
#[derive(Debug, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Common {
    /// Device to compute on: auto, cpu, or a GPU as cuda:0; see `calm doctor`
    #[arg(long, global = true, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Number that fixes all chance: data, initial weights, order, sampling
    #[arg(
        long,
        global = true,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0,
        // Files of settings hold no larger numbers.
        value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64)
    )]
    pub(crate) seed: u64,
    /// Threads of the processor to compute with; they change no result [default: all]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Show no progress, and no speed
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// The file that flags were read from.
    #[arg(skip)]
    #[serde(skip)]
    pub(crate) file: Option<ConfigFile>,
    /// The device, once it was looked for.
    #[arg(skip)]
    #[serde(skip)]
    found: OnceCell<Device>,
}

/// Flags of every verb that the outcome of a run depends on.
#[derive(Debug, Serialize)]
pub(crate) struct RunFlags<'a> {
    device: &'a str,
    seed: u64,
    threads: Option<NonZeroUsize>,
}

impl Common {
    /// Has everything run on as many threads as were asked for.
    pub(crate) fn use_threads(&self) -> Result<(), DeviceError> {
        calm_lm::backend::use_threads(self.threads)
    }

    /// Flags for a file of settings.
    pub(crate) fn of_run(&self) -> RunFlags<'_> {
        RunFlags {
            device: &self.device,
            seed: self.seed,
            threads: self.threads,
        }
    }

    /// Program, device and seed of a training run. With `devices` the first of them is its main one.
    pub(crate) fn run_context(&self, devices: &[String]) -> Result<RunContext, DeviceError> {
        self.seeded_context(devices, self.seed)
    }

    /// The same with another seed than that of `--seed`.
    pub(crate) fn seeded_context(
        &self,
        devices: &[String],
        seed: u64,
    ) -> Result<RunContext, DeviceError> {
        let (device, device_name) = match devices.first() {
            Some(name) => (calm_lm::backend::device(name)?, name.clone()),
            None => (self.device()?, self.device.clone()),
        };
        Ok(RunContext {
            device,
            device_name,
            seed,
            program: program(),
        })
    }

    /// Shows a training run as these flags ask for.
    pub(crate) fn run_display(&self, tui: bool) -> RunDisplay {
        RunDisplay::new(match (self.quiet, tui) {
            (true, _) => Display::Nothing,
            (false, true) => Display::Dashboard,
            (false, false) => Display::Progress,
        })
    }

    /// Name by which the device was asked for.
    pub(crate) fn device_name(&self) -> &str {
        &self.device
    }

    /// The device that was asked for.
    pub(crate) fn device(&self) -> Result<Device, DeviceError> {
        if let Some(device) = self.found.get() {
            return Ok(device.clone());
        }
        let device = calm_lm::backend::device(&self.device)?;
        Ok(self.found.get_or_init(|| device).clone())
    }

    /// Does what a verb does. Burn panics where a driver gives up in the middle; then that is told
    /// like all else that goes wrong.
    pub(crate) fn watched<T>(
        &self,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let has_gpus = calm_lm::backend::compiled().any(|backend| backend != Backend::Cpu);
        let device = has_gpus.then(|| self.device().ok()).flatten();
        match device.filter(|device| !calm_lm::backend::is_processor(device)) {
            None => work(),
            Some(device) => guard(work).unwrap_or_else(|reason| {
                Err(Failure::Broke {
                    device: calm_lm::backend::device_name(&device),
                    reason,
                })
            }),
        }
    }
}
