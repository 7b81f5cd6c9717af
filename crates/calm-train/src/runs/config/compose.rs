//! Settings of a run that trains the bridges of a composition.

use std::path::PathBuf;

use calm_backend::{ComputeType, FloatType};
use calm_compose::{CompositionConfig, ConnectionPlan, Mode};
use calm_models::ModelSource;
use serde::{Deserialize, Serialize};

use super::activations::ActivationConfig;
use super::bridges::BridgeConfig;
use super::checks::{check, require};
use super::masking::MaskingConfig;
use super::ranks::RankConfig;
use super::text;
use super::training::TrainingConfig;
use crate::TrainError;
#[cfg(feature = "cli")]
use crate::runs::flags::{any_path, named};

/// Settings of a run that trains the bridges of a composition, or a baseline in their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", default)]
pub struct ComposeConfig {
    /// The anchor m_B, which learns to read other models: a checkpoint
    ///
    /// A directory, a .gguf file, or hf:owner/name@revision.
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub anchor: Option<ModelSource>,
    /// Composition whose anchor learns to read further models
    ///
    /// Its own bridges stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "COMPOSITION"))]
    pub extend: Option<PathBuf>,
    /// Composition to train further, with all its bridges, perhaps on other data
    ///
    /// Nothing of it is changed: DIR gets another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "COMPOSITION", value_hint = clap::ValueHint::AnyPath))]
    pub init_from: Option<PathBuf>,
    /// An augmenting model m_A, which the anchor reads; may be given several times
    #[serde(with = "text::list")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub augmenting: Vec<ModelSource>,
    /// Device of the augmenting models, if not that of the anchor
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub augmenting_device: Option<String>,
    /// Directory for the composition
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub out: PathBuf,
    /// Blocks of m_A that are read, and where: every:K, or pairs `[[1,1],[2,3]]` [default: every:4]
    ///
    /// Also even:N, first:N, middle:N or last:N blocks. A pair is [block of m_A, block of m_B],
    /// counted from 1. Once for all augmenting models, or once for each.
    #[serde(with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PLAN"))]
    pub connections: Vec<ConnectionPlan>,
    /// Noise on the states that bridges read in training, as a share of their size
    ///
    /// In units of their root mean square; against learning a small dataset by heart.
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "SHARE",
            allow_negative_numbers = true,
            default_value_t = 0.0
        )
    )]
    pub noise: f64,
    /// Text that m_A reads: `iterative`, all of it, or `encoder`, the prompt only
    ///
    /// The second is a control of the paper. With --extend, as in the composition.
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE", value_parser = named::<Mode>, default_value = "iterative"))]
    pub mode: Mode,
    /// Train the anchor alone instead of bridges, for comparison: `lora` or `finetune`
    ///
    /// On the same data: low-rank adapters with as many parameters as the bridges, or all its
    /// weights. DIR gets a checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND", value_parser = named::<Baseline>))]
    pub baseline: Option<Baseline>,
    /// Replace m_A by random weights of this seed, a control of the paper
    ///
    /// Of the same architecture; the next seed for the second model and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SEED"))]
    pub random_augmenting: Option<u64>,
    /// Number type in which the frozen models compute: auto, f32, f16 or bf16
    ///
    /// auto is the type that most parameters of each are stored in where its device is at least as
    /// fast in it as in f32, else f32. Bridges are trained in f32.
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub dtype: ComputeType,
    /// Load models with unknown settings or tensors all the same, with a warning
    ///
    /// Settings of config.json that might change the numbers and are not implemented; tensors
    /// without a place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub lenient: bool,
    /// Words that the anchor is not shown.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub masking: MaskingConfig,
    /// Options of the bridges.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub bridges: BridgeConfig,
    /// The cache of hidden states.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub activations: ActivationConfig,
    /// Take less memory and more time: keep one block at a time for the backward pass
    ///
    /// Every anchor block is computed twice.
    #[cfg_attr(feature = "cli", arg(long))]
    pub gradient_checkpointing: bool,
    /// Devices and processes that share the work.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub ranks: RankConfig,
    /// Data, optimiser and schedule.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub training: TrainingConfig,
}

/// Training of the anchor alone, that a composition is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Low-rank adapters, with as many parameters as the bridges would have.
    Lora,
    /// All weights of the anchor.
    Finetune,
}

impl Default for ComposeConfig {
    fn default() -> Self {
        Self {
            anchor: None,
            extend: None,
            init_from: None,
            augmenting: Vec::new(),
            augmenting_device: None,
            out: PathBuf::new(),
            connections: Vec::new(),
            noise: 0.0,
            mode: Mode::default(),
            baseline: None,
            random_augmenting: None,
            dtype: ComputeType::default(),
            lenient: false,
            masking: MaskingConfig::default(),
            bridges: BridgeConfig::default(),
            activations: ActivationConfig::default(),
            gradient_checkpointing: false,
            ranks: RankConfig::default(),
            training: TrainingConfig::default(),
        }
    }
}

impl ComposeConfig {
    /// Checks the settings that need no model.
    ///
    /// # Errors
    ///
    /// [`TrainError::Missing`], [`TrainError::Setting`] or [`TrainError::Config`].
    pub fn validate(&self) -> Result<(), TrainError> {
        let is_extended = self.extend.is_some();
        let goes_on = self.init_from.is_some();
        let is_baseline = self.baseline.is_some();
        require(&[
            ("anchor", self.anchor.is_some() || is_extended || goes_on),
            ("augmenting", !self.augmenting.is_empty() || goes_on),
            ("out", !self.out.as_os_str().is_empty()),
            ("train", self.training.has_data()),
        ])?;
        let bridges = &self.bridges;
        let has_models = self.anchor.is_some()
            || is_extended
            || is_baseline
            || !self.augmenting.is_empty()
            || !self.connections.is_empty()
            || self.random_augmenting.is_some();
        let has_default_bridges =
            *bridges == BridgeConfig::default() && self.mode == Mode::default();
        check([
            (
                "anchor",
                !(is_extended && self.anchor.is_some()),
                "cannot be used with --extend",
            ),
            (
                "baseline",
                !(is_extended && is_baseline),
                "cannot be used with --extend",
            ),
            (
                "extend",
                !is_extended || has_default_bridges,
                "takes mode, heads and options of bridges from the composition; leave out the flags \
                 for them",
            ),
            (
                "init-from",
                !goes_on || has_default_bridges && !has_models,
                "takes models, connections, mode, heads and options of bridges from the composition; \
                 leave out the flags for them",
            ),
            (
                "noise",
                (0.0..=10.0).contains(&self.noise),
                "it may be from 0 to 10",
            ),
            (
                "noise",
                !is_baseline || self.noise == 0.0,
                "is put on what bridges read, and a baseline has none; leave it out",
            ),
            (
                "dtype",
                !is_baseline || [ComputeType::Auto, self.compute_type()].contains(&self.dtype),
                "is for models that stay frozen, and a baseline trains its anchor; leave it out",
            ),
            (
                "gradient-checkpointing",
                !(is_baseline && self.gradient_checkpointing),
                "cannot be used with --baseline",
            ),
            (
                "devices",
                !is_baseline || self.ranks.devices.is_empty(),
                "cannot be used with --baseline",
            ),
            (
                "workers",
                !is_baseline || self.ranks.workers.is_empty(),
                "cannot be used with --baseline",
            ),
            (
                "listen",
                !(is_baseline && self.ranks.listen.is_some()),
                "cannot be used with --baseline",
            ),
        ])?;
        self.masking.validate(is_baseline)?;
        let ranks = &self.ranks;
        check([(
            "worker-timeout",
            (2..=86_400).contains(&ranks.worker_timeout),
            "it may be from 2 to 86400",
        )])?;
        let accumulation = self.training.accumulation;
        if ranks.is_shared() && !ranks.is_listening() {
            ranks.check_capacity(
                ranks.devices.len().max(1) + ranks.workers.len(),
                accumulation,
            )?;
        }
        self.plans().map(drop)
    }

    /// The type in which models are loaded: what is trained is in `f32`.
    pub(in crate::runs) fn compute_type(&self) -> ComputeType {
        match self.baseline {
            Some(_) => FloatType::F32.into(),
            None => self.dtype,
        }
    }

    /// A plan of connections for each augmenting model.
    pub(in crate::runs) fn plans(&self) -> Result<Vec<ConnectionPlan>, TrainError> {
        let (given, models) = (self.connections.len(), self.augmenting.len());
        match self.connections.as_slice() {
            [] => Ok(vec![ConnectionPlan::default(); models]),
            [plan] => Ok(vec![plan.clone(); models]),
            plans if given == models => Ok(plans.to_vec()),
            _ => Err(TrainError::setting(
                "connections",
                format!(
                    "given {given} times for {models} augmenting models; give it once for all, \
                     or once for each in their order"
                ),
            )),
        }
    }

    pub(in crate::runs) fn composition(&self) -> CompositionConfig {
        CompositionConfig {
            heads: self.bridges.heads,
            options: self.bridges.options(),
            mode: self.mode,
        }
    }
}
