//! Settings of runs. The structs are the schema: files, flags and programs fill the same fields, by
//! the same names. Each name is in kebab-case in files, as the flag of `calm` is.

mod text;
mod validation;

use std::path::PathBuf;

use calm_backend::{ComputeType, FloatType};
use calm_compose::{
    BridgeOptions, CompositionConfig, ConnectionPlan, Gate, Mode, OutputInit, OutputUnit,
};
use calm_data::TooLong;
use calm_models::ModelSource;
use serde::{Deserialize, Serialize};

pub use self::validation::{ValidationConfig, ValidationMetric};
use super::data::TrainingData;
use super::examples::ExampleConfig;
#[cfg(feature = "cli")]
use super::flags::{any_path, named};
use crate::{OptimizerKind, Schedule, TrainConfig, TrainError};

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

/// Settings of a run that trains a small Llama from random weights, or goes on training a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", default)]
pub struct PretrainConfig {
    /// Directory for the checkpoint
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub out: PathBuf,
    /// Checkpoint to train further, with its tokenizer [default: a fresh Llama]
    ///
    /// A directory, a .gguf file, or hf:owner/name@revision.
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub from: Option<ModelSource>,
    /// With --from, train low-rank adapters instead of all weights [default RANK: 16]
    ///
    /// On the matrices of all blocks; they are merged into the checkpoint at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RANK", num_args = 0..=1, default_missing_value = "16"))]
    pub lora: Option<usize>,
    /// Fill rows of --context tokens with several examples; always so with --from
    ///
    /// None of them sees another. Longer texts are cut into pieces.
    #[cfg_attr(feature = "cli", arg(long))]
    pub pack: bool,
    /// Tokenizer of a fresh model, a tokenizer.json
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub tokenizer: PathBuf,
    /// Blocks (layers) of a fresh model [default: 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub blocks: Option<usize>,
    /// Width of a fresh model's hidden states [default: 128]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub d_model: Option<usize>,
    /// Attention heads of a fresh model, a divisor of the width [default: 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub heads: Option<usize>,
    /// Longest text in tokens [default: 128; with --from 512, or what it can read]
    ///
    /// That a fresh model can read; with --from, tokens of a packed row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKENS"))]
    pub context: Option<usize>,
    /// Number type in which the weights are stored: auto (f32), f32, f16 or bf16
    ///
    /// They are trained in f32.
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub dtype: ComputeType,
    /// With --from, load a model with unknown settings or tensors all the same, with a warning
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "cli", arg(long))]
    pub lenient: bool,
    /// Token that ends a text of a fresh model: `</s>` if none is given
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKEN"))]
    pub eos: Option<String>,
    /// Data, optimiser and schedule.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub training: TrainingConfig,
}

/// Settings that every run has: its data, and how parameters are moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Training")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct TrainingConfig {
    /// Examples to learn: a file or a directory of files, or hf:datasets/owner/name@revision
    ///
    /// JSON Lines, a JSON array, CSV or Parquet with a `prompt` and a `target`, a `question` and an
    /// `answer`, `messages`, or a `text`.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub train: PathBuf,
    /// Go on with the interrupted run in the output directory, if there is one
    #[cfg_attr(feature = "cli", arg(long))]
    pub resume: bool,
    /// Optimiser steps [default: 1000]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub steps: Option<usize>,
    /// Passes over the training data, instead of --steps
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", conflicts_with = "steps"))]
    pub epochs: Option<f64>,
    /// Batch size: examples in a batch [default: 32; of packed rows with --from 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub rows: Option<usize>,
    /// Batches whose gradients are added up for one step
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().accumulation))]
    pub accumulation: usize,
    /// Steps between checkpoints
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().checkpoint_steps))]
    pub checkpoint_steps: usize,
    /// Last checkpoints that are kept, besides the best
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().keep_checkpoints))]
    pub keep_checkpoints: usize,
    /// Skip steps whose loss or gradients are not finite, up to N in a row
    ///
    /// Instead of stopping at the first. Without a number, 10.
    #[cfg_attr(feature = "cli", arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = TrainConfig::default().skip_not_finite,
        default_missing_value = "10"
    ))]
    pub skip_not_finite: usize,
    /// Treatment of the data.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub data: DataConfig,
    /// Optimiser and schedule.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub optimizer: OptimizerConfig,
    /// Held-out data.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub validation: ValidationConfig,
}

/// Treatment of the data of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Data")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct DataConfig {
    /// Form of the rows.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub examples: ExampleConfig,
    /// Treatment of examples longer than the models can read: `error`, `truncate` or `skip`
    ///
    /// `truncate` cuts the beginning of the prompt, or the end of a plain text.
    #[cfg_attr(feature = "cli", arg(long, value_name = "POLICY", value_parser = named::<TooLong>, default_value = "error"))]
    pub too_long: TooLong,
    /// Keep the tokenised data in this directory, for further runs on the same data
    ///
    /// By default it is kept with the run if the file is larger than 16 MiB, else nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub data_cache: Option<PathBuf>,
}

/// Optimiser and learning rate schedule of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Optimiser and schedule")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct OptimizerConfig {
    /// Optimiser: `adamw`, or `muon` for weight matrices with AdamW for the rest
    ///
    /// `muon` often takes fewer steps where little data is learnt exactly.
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<OptimizerKind>, default_value = "adamw"))]
    pub optimizer: OptimizerKind,
    /// Highest learning rate [default: 1e-3; with --from 5e-5, of adapters 2e-4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "RATE", allow_negative_numbers = true)
    )]
    pub learning_rate: Option<f64>,
    /// Steps over which the learning rate rises [default: 50, at most a quarter of all]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub warmup_steps: Option<usize>,
    /// Fall of the learning rate at the end: `linear`, `cosine`, or `constant` (none)
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<Schedule>, default_value = "linear"))]
    pub schedule: Schedule,
    /// Share of the steps, at the end, over which the learning rate falls to zero
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = TrainConfig::default().decay_share))]
    pub decay_share: f64,
    /// Decoupled weight decay
    #[cfg_attr(feature = "cli", arg(long, value_name = "DECAY", allow_negative_numbers = true, default_value_t = TrainConfig::default().weight_decay))]
    pub weight_decay: f64,
    /// β₁ of AdamW: decay of the mean of the gradients
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[0]))]
    pub beta1: f64,
    /// β₂ of AdamW: decay of the mean of their squares
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[1]))]
    pub beta2: f64,
    /// Largest norm of all gradients together; larger ones are scaled down
    #[cfg_attr(feature = "cli", arg(long, value_name = "NORM", allow_negative_numbers = true, default_value_t = TrainConfig::default().clip_norm))]
    pub clip_norm: f64,
}

/// The cache of hidden states that no bridge changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Activations")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ActivationConfig {
    /// Keep the frozen models' hidden states from epoch to epoch in: memory, off, or a directory
    ///
    /// Those that no bridge changes. In a directory, further runs over the same models, connections
    /// and data find them.
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "PLACE", default_value = "memory")
    )]
    pub activation_cache: String,
    /// Most mebibytes of hidden states to keep; the others are computed in every epoch
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", default_value_t = ActivationConfig::default().activation_budget))]
    pub activation_budget: u64,
    /// Number type in which they are kept: f32, f16 or bf16
    ///
    /// In f32 the run is the same to the last bit as one that keeps none; the halves take half the
    /// room.
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub activation_type: FloatType,
}

/// Form of bridges, which further options add to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeForm {
    /// Norms on both inputs, and an output in units of the anchor's hidden states:
    /// [`BridgeOptions::default`].
    #[default]
    Normed,
    /// Section 3.1 of the paper: [`BridgeOptions::paper`].
    Paper,
}

/// Options of bridges, flat, by the names of files and flags; docs/composition.md explains each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Bridges")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct BridgeConfig {
    /// Form of the bridges: `normed`, or `paper` as in section 3.1
    ///
    /// `normed` has norms on both inputs and an output in units of the anchor's hidden states. The
    /// options below add to either.
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORM", value_parser = named::<BridgeForm>, default_value = "normed"))]
    pub bridge: BridgeForm,
    /// Attention heads N_H of a bridge, a divisor of its width [default: the anchor's]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub heads: Option<usize>,
    /// Width of a bridge's queries, keys and values [default: the anchor's width]
    ///
    /// Of all heads together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub d_inner: Option<usize>,
    /// Norm the anchor's hidden states before the queries, as `normed` bridges do
    #[cfg_attr(feature = "cli", arg(long))]
    pub anchor_norm: bool,
    /// Norm m_A's hidden states before they are projected, as `normed` bridges do
    #[cfg_attr(feature = "cli", arg(long))]
    pub augmenting_norm: bool,
    /// Norm the bridge's output before it is added
    #[cfg_attr(feature = "cli", arg(long))]
    pub output_norm: bool,
    /// Number that these RMS norms add to the mean square
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = BridgeOptions::default().norm_epsilon))]
    pub norm_epsilon: f64,
    /// Give all matrices of a bridge biases, not the projection alone
    #[cfg_attr(feature = "cli", arg(long))]
    pub bridge_bias: bool,
    /// Learn a factor of a bridge's output: `none`, `scalar` or `heads`
    ///
    /// `none`, as in the paper; `scalar`, one number for the whole bridge; `heads`, one for every
    /// head and position, from the anchor's hidden state.
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND", value_parser = named::<Gate>, default_value = "none"))]
    pub gate: Gate,
    /// Start from bridges whose output is `zero`, as the anchor alone, or `random`
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW", value_parser = named::<OutputInit>, default_value = "zero"))]
    pub output_init: OutputInit,
    /// Unit of a bridge's output: `one`, or `anchor` [default: that of the form]
    ///
    /// `anchor` is the size of the anchor's hidden states at that block.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "UNIT", value_parser = named::<OutputUnit>))]
    pub output_unit: Option<OutputUnit>,
    /// Number type in which bridges compute and are stored; they are trained in f32
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub bridge_dtype: FloatType,
}

/// Devices and processes that share the batches of every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Several devices and machines")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct RankConfig {
    /// Devices that share the batches of every step, as cuda:0,cuda:1 [default: --device]
    ///
    /// One that is named twice works on two at a time.
    #[serde(with = "text::comma_separated", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cli",
        arg(
            long,
            value_name = "NAMES",
            value_delimiter = ',',
            conflicts_with = "device"
        )
    )]
    pub devices: Vec<String>,
    /// Processes that share them, too: HOST:PORT of each that was started with --listen
    #[serde(with = "text::comma_separated", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ADDRESSES", value_delimiter = ',')
    )]
    pub workers: Vec<String>,
    /// Work for the run of another process, started with the same flags, until it is over
    ///
    /// Port 0 is one that is free.
    #[serde(skip)]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOST:PORT"))]
    pub listen: Option<String>,
    /// File with a secret that both sides have; needed to listen to other machines
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub worker_token: Option<PathBuf>,
    /// Seconds that a worker may take to begin, or to say that it is still there
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "SECONDS", default_value_t = RankConfig::default().worker_timeout)
    )]
    pub worker_timeout: u64,
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
            bridges: BridgeConfig::default(),
            activations: ActivationConfig::default(),
            gradient_checkpointing: false,
            ranks: RankConfig::default(),
            training: TrainingConfig::default(),
        }
    }
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            out: PathBuf::new(),
            from: None,
            lora: None,
            pack: false,
            tokenizer: PathBuf::new(),
            blocks: None,
            d_model: None,
            heads: None,
            context: None,
            dtype: ComputeType::default(),
            lenient: false,
            eos: None,
            training: TrainingConfig::default(),
        }
    }
}

impl Default for TrainingConfig {
    fn default() -> Self {
        let train = TrainConfig::default();
        Self {
            train: PathBuf::new(),
            data: DataConfig::default(),
            resume: false,
            steps: None,
            epochs: None,
            rows: None,
            accumulation: train.accumulation,
            checkpoint_steps: train.checkpoint_steps,
            keep_checkpoints: train.keep_checkpoints,
            skip_not_finite: train.skip_not_finite,
            optimizer: OptimizerConfig::default(),
            validation: ValidationConfig::default(),
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        let train = TrainConfig::default();
        Self {
            optimizer: train.optimizer,
            learning_rate: None,
            warmup_steps: None,
            schedule: train.schedule,
            decay_share: train.decay_share,
            weight_decay: train.weight_decay,
            beta1: train.betas[0],
            beta2: train.betas[1],
            clip_norm: train.clip_norm,
        }
    }
}

impl Default for ActivationConfig {
    fn default() -> Self {
        Self {
            activation_cache: "memory".to_owned(),
            activation_budget: 2048,
            activation_type: FloatType::default(),
        }
    }
}

impl Default for BridgeConfig {
    fn default() -> Self {
        let paper = BridgeOptions::paper();
        Self {
            bridge: BridgeForm::default(),
            heads: None,
            d_inner: paper.d_inner,
            anchor_norm: paper.anchor_norm,
            augmenting_norm: paper.augmenting_norm,
            output_norm: paper.output_norm,
            norm_epsilon: paper.norm_epsilon,
            bridge_bias: paper.bias,
            gate: paper.gate,
            output_init: paper.output_init,
            output_unit: None,
            bridge_dtype: paper.dtype,
        }
    }
}

impl Default for RankConfig {
    fn default() -> Self {
        Self {
            devices: Vec::new(),
            workers: Vec::new(),
            listen: None,
            worker_token: None,
            worker_timeout: 30,
        }
    }
}

/// The first rule that does not hold, as an error.
fn check<const N: usize>(rules: [(&'static str, bool, &'static str); N]) -> Result<(), TrainError> {
    match rules.into_iter().find(|(_, holds, _)| !holds) {
        Some((setting, _, reason)) => Err(TrainError::setting(setting, reason)),
        None => Ok(()),
    }
}

/// Checks that nothing that has to be given is missing.
fn require(settings: &[(&'static str, bool)]) -> Result<(), TrainError> {
    let missing = settings.iter().filter(|(_, is_given)| !is_given);
    let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
    match missing.as_slice() {
        [] => Ok(()),
        _ => Err(TrainError::Missing {
            settings: missing.join(", --"),
        }),
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
    pub(super) fn compute_type(&self) -> ComputeType {
        match self.baseline {
            Some(_) => FloatType::F32.into(),
            None => self.dtype,
        }
    }

    /// A plan of connections for each augmenting model.
    pub(super) fn plans(&self) -> Result<Vec<ConnectionPlan>, TrainError> {
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

    pub(super) fn composition(&self) -> CompositionConfig {
        CompositionConfig {
            heads: self.bridges.heads,
            options: self.bridges.options(),
            mode: self.mode,
        }
    }
}

impl PretrainConfig {
    /// Settings with the defaults of a model that is loaded, where they are not those of a fresh one.
    pub(super) fn with_defaults(mut self) -> Self {
        if self.from.is_some() {
            self.pack = true;
            let optimizer = &mut self.training.optimizer;
            let rate = self.lora.map_or(TUNED_RATE, |_| LORA_RATE);
            optimizer.learning_rate.get_or_insert(rate);
            self.training.rows.get_or_insert(TUNED_ROWS);
        }
        self
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks.unwrap_or(4)
    }

    pub(super) fn d_model(&self) -> usize {
        self.d_model.unwrap_or(128)
    }

    pub(super) fn heads(&self) -> usize {
        self.heads.unwrap_or(4)
    }

    pub(super) fn eos(&self) -> &str {
        self.eos.as_deref().unwrap_or("</s>")
    }

    /// The type that the weights are stored in.
    pub(super) fn stored_type(&self) -> FloatType {
        match self.dtype {
            ComputeType::Auto => FloatType::F32,
            ComputeType::Fixed(float) => float,
        }
    }

    /// Checks the settings that need no file.
    ///
    /// # Errors
    ///
    /// [`TrainError::Missing`] or [`TrainError::Setting`].
    pub fn validate(&self) -> Result<(), TrainError> {
        let is_tuned = self.from.is_some();
        let has_tokenizer = !self.tokenizer.as_os_str().is_empty();
        require(&[
            ("train", self.training.has_data()),
            ("out", !self.out.as_os_str().is_empty()),
            ("tokenizer", has_tokenizer || is_tuned),
        ])?;
        let of_fresh = |name, is_given| {
            let reason = "is that of the model of --from; leave it out";
            (name, !(is_tuned && is_given), reason)
        };
        check([
            of_fresh("tokenizer", has_tokenizer),
            of_fresh("blocks", self.blocks.is_some()),
            of_fresh("d-model", self.d_model.is_some()),
            of_fresh("heads", self.heads.is_some()),
            of_fresh("eos", self.eos.is_some()),
            (
                "lora",
                is_tuned || self.lora.is_none(),
                "is for a model that is loaded; add --from",
            ),
            (
                "lenient",
                is_tuned || !self.lenient,
                "is for a model that is loaded; add --from",
            ),
            ("lora", self.lora != Some(0), "must be at least 1"),
        ])?;
        let (heads, width) = (self.heads(), self.d_model());
        if heads > 0 && width.is_multiple_of(heads) {
            return Ok(());
        }
        let reason = format!("{heads} heads do not divide the width {width}; choose a divisor");
        Err(TrainError::setting("heads", reason))
    }
}

/// Learning rate of a model that was trained before.
const TUNED_RATE: f64 = 5e-5;
/// Learning rate of adapters.
const LORA_RATE: f64 = 2e-4;
/// Rows of a batch of such a model, which are long and packed.
const TUNED_ROWS: usize = 4;

impl TrainingConfig {
    /// Rows of a batch.
    pub(super) fn rows(&self) -> usize {
        self.rows.unwrap_or(32)
    }

    /// Sets what was left open to what it resolves to.
    pub(super) fn resolve_open(&mut self, data: &TrainingData) {
        let settings = &data.settings;
        self.rows = Some(self.rows());
        self.steps = Some(settings.steps);
        self.epochs = None;
        let validation = &mut self.validation;
        validation.validation_steps = settings.validation_steps;
        if validation.validation.is_none() {
            validation.validation_share = Some(data.held_out_share());
        }
        let optimizer = &mut self.optimizer;
        optimizer.learning_rate = Some(settings.learning_rate);
        optimizer.warmup_steps = Some(settings.warmup_steps);
    }

    fn has_data(&self) -> bool {
        !self.train.as_os_str().is_empty()
    }

    /// The settings of the trainer, checked as far as the data does not matter.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] or [`TrainError::Config`] with the setting that is wrong.
    pub(super) fn check(&self, seed: u64) -> Result<(), TrainError> {
        check([
            ("rows", self.rows() >= 1, "must be at least 1"),
            (
                "epochs",
                self.steps.is_none() || self.epochs.is_none(),
                "cannot be used with --steps",
            ),
            (
                "epochs",
                self.epochs
                    .is_none_or(|epochs| epochs > 0.0 && epochs <= MOST_EPOCHS),
                "must be above 0, and at most 1000000",
            ),
        ])?;
        self.validation.check()?;
        let steps = match self.epochs {
            // How many they are is known once the data is read.
            Some(_) => 1 << 40,
            None => self.steps.unwrap_or(TrainConfig::default().steps),
        };
        self.in_steps(steps, seed).validate()
    }

    /// The settings of the trainer, for this data.
    ///
    /// # Errors
    ///
    /// [`TrainError::Config`] with the setting that is wrong.
    pub(super) fn resolve(
        &self,
        seed: u64,
        batches_per_epoch: usize,
        has_split: bool,
    ) -> Result<TrainConfig, TrainError> {
        let of_epochs = |epochs: f64| {
            let batches = epochs * batches_per_epoch as f64;
            ((batches / self.accumulation as f64).ceil() as usize).max(1)
        };
        let steps = self.epochs.map(of_epochs).or(self.steps);
        let steps = steps.unwrap_or(TrainConfig::default().steps);
        let mut config = self.in_steps(steps, seed);
        if has_split && config.validation_steps.is_none() {
            let often = steps.div_ceil(LEAST_VALIDATIONS);
            config.validation_steps = Some(often.min(self.checkpoint_steps));
        }
        config.validate()?;
        Ok(config)
    }

    fn in_steps(&self, steps: usize, seed: u64) -> TrainConfig {
        let default = TrainConfig::default().with_steps(steps);
        let (optimizer, validation) = (&self.optimizer, &self.validation);
        TrainConfig {
            optimizer: optimizer.optimizer,
            accumulation: self.accumulation,
            learning_rate: optimizer.learning_rate.unwrap_or(default.learning_rate),
            warmup_steps: optimizer.warmup_steps.unwrap_or(default.warmup_steps),
            schedule: optimizer.schedule,
            decay_share: optimizer.decay_share,
            weight_decay: optimizer.weight_decay,
            betas: [optimizer.beta1, optimizer.beta2],
            clip_norm: optimizer.clip_norm,
            skip_not_finite: self.skip_not_finite,
            checkpoint_steps: self.checkpoint_steps,
            keep_checkpoints: self.keep_checkpoints,
            validation_steps: validation.validation_steps,
            patience: validation.patience,
            seed,
            ..default
        }
    }
}

/// Far more than any run has.
const MOST_EPOCHS: f64 = 1e6;
/// A run that holds out a part of its data is validated at least so often.
const LEAST_VALIDATIONS: usize = 5;
impl BridgeConfig {
    /// The options in the form in which a composition has them.
    pub fn options(&self) -> BridgeOptions {
        let form = match self.bridge {
            BridgeForm::Normed => BridgeOptions::default(),
            BridgeForm::Paper => BridgeOptions::paper(),
        };
        BridgeOptions {
            d_inner: self.d_inner,
            anchor_norm: form.anchor_norm || self.anchor_norm,
            augmenting_norm: form.augmenting_norm || self.augmenting_norm,
            output_norm: form.output_norm || self.output_norm,
            norm_epsilon: self.norm_epsilon,
            bias: self.bridge_bias,
            gate: self.gate,
            output_init: self.output_init,
            output_unit: self.output_unit.unwrap_or(form.output_unit),
            dtype: self.bridge_dtype,
        }
    }
}
