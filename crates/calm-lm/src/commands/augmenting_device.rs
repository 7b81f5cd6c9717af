//! Augmenting models on another device than the anchor.

use burn::tensor::Device;
use calm_lm::backend::DeviceError;
use clap::Args;

#[derive(Debug, Default, Args)]
pub(super) struct AugmentingDevice {
    /// Device of the augmenting models, if not that of the anchor: their hidden states are moved
    /// where a bridge reads them
    #[arg(long, value_name = "NAME")]
    augmenting_device: Option<String>,
}

impl AugmentingDevice {
    /// The device that was asked for, or the anchor's.
    pub(super) fn or(&self, anchor: &Device) -> Result<Device, DeviceError> {
        match &self.augmenting_device {
            Some(name) => calm_lm::backend::device(name),
            None => Ok(anchor.clone()),
        }
    }
}
