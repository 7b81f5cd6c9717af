//! Settings of runs. The structs are the schema: files, flags and programs fill the same fields, by
//! the same names. Each name is in kebab-case in files, as the flag of `calm` is.

mod activations;
mod bridges;
mod checks;
mod compose;
mod masking;
mod model;
mod ranks;
mod text;
mod training;
mod validation;

pub use self::activations::ActivationConfig;
pub use self::bridges::{BridgeConfig, BridgeForm};
pub use self::compose::{Baseline, ComposeConfig};
pub(super) use self::masking::is_zero;
pub use self::masking::{MaskingConfig, PlaceholderSource};
pub use self::model::{FinetuneConfig, PretrainConfig, TunedWeights};
pub use self::ranks::RankConfig;
pub use self::training::{DataConfig, OptimizerConfig, TrainingConfig};
pub use self::validation::{ValidationConfig, ValidationMetric};
