//! Flags of verbs that load checkpoints.

use burn::tensor::Device;
use calm_lm::backend::ComputeType;
use calm_lm::models::{LoadOptions, Strictness};
use clap::Args;

/// How checkpoints are read, of every verb that loads any.
#[derive(Debug, Default, Args)]
pub(super) struct LoadArgs {
    /// Number type to compute in: auto, f32, f16 or bf16
    ///
    /// auto is the type that most parameters are stored in where the device is at least as fast in
    /// it as in f32, else f32.
    #[arg(long, value_name = "TYPE", default_value_t)]
    pub(super) dtype: ComputeType,
    /// Load models with unknown settings or tensors all the same, with a warning
    ///
    /// Settings of config.json that might change the numbers and are not implemented; tensors
    /// without a place.
    #[arg(long)]
    lenient: bool,
}

impl LoadArgs {
    /// Names of the flags that are given, for verbs that do not always use them.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("--dtype", self.dtype != ComputeType::default()),
            ("--lenient", self.lenient),
        ];
        let given = flags.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(flag, _)| flag).collect()
    }

    /// Options for models on this device.
    pub(super) fn options(&self, device: Device) -> LoadOptions {
        LoadOptions {
            device,
            dtype: self.dtype,
            strictness: Strictness::lenient(self.lenient),
            ..LoadOptions::default()
        }
    }
}
