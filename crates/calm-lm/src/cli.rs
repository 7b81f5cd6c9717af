//! Flags of every verb.

use std::cell::OnceCell;
use std::num::NonZeroUsize;

use burn::tensor::Device;
use calm_lm::backend::{Backend, DeviceError, guard};
use clap::Args;

use crate::failure::Failure;
use crate::settings::Settings;

/// Flags of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every verb")]
pub(crate) struct Common {
    /// Device to compute on: auto, cpu, or a GPU as in cuda:0; see `calm doctor`
    #[arg(long, global = true, value_name = "NAME", default_value = "auto")]
    device: String,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Fixes everything that is drawn: data, initial weights, order
    #[arg(
        long,
        global = true,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) seed: u64,
    /// Threads of the processor to compute on, which changes no result [default: all]
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Show no progress
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// All flags of this call.
    #[arg(skip)]
    pub(crate) settings: Settings,
    /// The device, once it was looked for.
    #[arg(skip)]
    found: OnceCell<Device>,
}

impl Common {
    /// Has everything run on as many threads as were asked for.
    pub(crate) fn use_threads(&self) -> Result<(), DeviceError> {
        calm_lm::backend::use_threads(self.threads)
    }

    /// What the device is called that was asked for.
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
