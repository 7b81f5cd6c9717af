//! Settings of runs. The structs are the schema: files, flags and programs fill the same fields, by
//! the same names. Each name is in kebab-case in files, as the flag of `calm` is.

use std::path::PathBuf;

use calm_backend::{ComputeType, FloatType};
use calm_compose::{
    BridgeOptions, CompositionConfig, ConnectionPlan, Gate, Mode, OutputInit, OutputUnit,
};
use calm_data::TooLong;
use calm_models::ModelSource;
use serde::{Deserialize, Serialize};

use super::examples::ExampleConfig;
#[cfg(feature = "cli")]
use super::flags::{any_path, named};
use crate::{OptimizerKind, Schedule, TrainConfig, TrainError};

/// Settings of a run that trains the bridges of a composition, or a baseline in their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(rename_all = "kebab-case", default)]
pub struct ComposeConfig {
    /// Checkpoint of the model that learns to read others, m_B: a directory, or
    /// hf:owner/name@revision
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub anchor: Option<ModelSource>,
    /// Composition to start from: its anchor learns to read further models, and its own bridges
    /// stay as they are
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "COMPOSITION"))]
    pub extend: Option<PathBuf>,
    /// Checkpoint of a model that it reads, m_A; may be given several times
    #[serde(with = "text::list")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub augmenting: Vec<ModelSource>,
    /// Device of the models that are read, if not that of the anchor
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub augmenting_device: Option<String>,
    /// Directory for the composition
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub out: PathBuf,
    /// Blocks that are connected: every:K, even:N, first:N, middle:N or last:N blocks, or pairs
    /// [augmenting block, anchor block] counted from 1, as JSON; once for all augmenting models, or
    /// once for each [default: every:4]
    #[serde(with = "text::list", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "PLAN"))]
    pub connections: Vec<ConnectionPlan>,
    /// Noise on the augmenting models' hidden states while the bridges are trained, in units of
    /// their root mean square: against learning a small dataset by heart
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
    /// Part of a text that the augmenting models read: `iterative`, all of it, or `encoder`, its
    /// prompt only (a control of the paper). With --extend, as in the composition
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE", value_parser = named::<Mode>, default_value = "iterative"))]
    pub mode: Mode,
    /// Train the anchor alone on the same data instead of bridges, for comparison: `lora`,
    /// low-rank adapters with as many parameters as the bridges, or `finetune`, all its weights.
    /// DIR gets a checkpoint
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND", value_parser = named::<Baseline>))]
    pub baseline: Option<Baseline>,
    /// Read models of the same architecture with random weights of this seed, the next seed for
    /// the second model and so on (a control of the paper)
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SEED"))]
    pub random_augmenting: Option<u64>,
    /// Type in which the frozen models compute: f32, f16 or bf16; or auto, the type that most
    /// parameters of each are stored in where its device is at least as fast in it as in f32, else
    /// f32. Bridges are trained in f32
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub dtype: ComputeType,
    /// Load models whose config.json holds settings that might change the numbers and are not
    /// implemented, or whose files hold tensors without a place: these are warnings then
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
    /// Hold the graph of one anchor block at a time, and compute every block twice: takes less
    /// memory and more time
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
    /// Checkpoint to go on training, with its tokenizer: a directory, a .gguf file, or
    /// hf:owner/name@revision [default: a fresh Llama]
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODEL", value_hint = clap::ValueHint::AnyPath))]
    pub from: Option<ModelSource>,
    /// With --from, train adapters of this rank on the matrices of all blocks instead of all
    /// weights, and merge them at the end [default without a RANK: 16]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "RANK", num_args = 0..=1, default_missing_value = "16"))]
    pub lora: Option<usize>,
    /// Put as many examples into a row of --context tokens as fit, none of which sees another, and
    /// cut longer texts into pieces; always so with --from
    #[cfg_attr(feature = "cli", arg(long))]
    pub pack: bool,
    /// Vocabulary of a fresh model, as a tokenizer.json of Hugging Face's library
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub tokenizer: PathBuf,
    /// Number of blocks of a fresh model [default: 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub blocks: Option<usize>,
    /// Width of its hidden states [default: 128]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub d_model: Option<usize>,
    /// Its attention heads, a divisor of the width [default: 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub heads: Option<usize>,
    /// Longest text that a fresh model can read, in tokens [default: 128]; with --from, tokens of a
    /// row [default: 512, or what the model can read]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "TOKENS"))]
    pub context: Option<usize>,
    /// Type that the weights are stored in: f32, f16 or bf16; auto is f32, in which they are trained
    #[cfg_attr(feature = "cli", arg(long, value_name = "TYPE", default_value_t))]
    pub dtype: ComputeType,
    /// With --from, load a model whose config.json holds settings that might change the numbers and are
    /// not implemented, or whose files hold tensors without a place: these are warnings then
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
    /// Examples to learn: JSON Lines, a JSON array, CSV or Parquet with a `prompt` and a `target`, a
    /// `question` and an `answer`, `messages`, or a `text`; a directory of such files; or
    /// hf:datasets/owner/name@revision
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE", value_parser = any_path(), default_value = "", hide_default_value = true))]
    pub train: PathBuf,
    /// Treatment of the data.
    #[serde(flatten)]
    #[cfg_attr(feature = "cli", command(flatten))]
    pub data: DataConfig,
    /// Go on with the run in the output directory, if there is one
    #[cfg_attr(feature = "cli", arg(long))]
    pub resume: bool,
    /// Optimiser steps
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().steps))]
    pub steps: usize,
    /// Examples in a batch [default: 32]; of packed rows, rows [default with --from: 4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub rows: Option<usize>,
    /// Batches whose gradients are added up for a step
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().accumulation))]
    pub accumulation: usize,
    /// Steps between checkpoints
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().checkpoint_steps))]
    pub checkpoint_steps: usize,
    /// Number of checkpoints that are kept besides the best: the last ones
    #[cfg_attr(feature = "cli", arg(long, value_name = "N", default_value_t = TrainConfig::default().keep_checkpoints))]
    pub keep_checkpoints: usize,
    /// Skip a step whose loss or gradients are not finite, up to so many in a row, instead of
    /// stopping at the first
    #[cfg_attr(feature = "cli", arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = TrainConfig::default().skip_not_finite,
        default_missing_value = "10"
    ))]
    pub skip_not_finite: usize,
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
    /// Policy for an example with more tokens than the models can read: `error`; `truncate`, which
    /// cuts the beginning of the prompt, or the end of a plain text; or `skip`
    #[cfg_attr(feature = "cli", arg(long, value_name = "POLICY", value_parser = named::<TooLong>, default_value = "error"))]
    pub too_long: TooLong,
    /// Keep the tokenised data in this directory, for every run on the same data [default: with
    /// the run, if the file is larger than 16 MiB; else nowhere]
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
    /// Optimiser: `adamw`, or `muon` for weight matrices with AdamW for the rest: often fewer steps
    /// where little data is learnt exactly
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<OptimizerKind>, default_value = "adamw"))]
    pub optimizer: OptimizerKind,
    /// Highest learning rate [default: 1e-3; with --from 5e-5, of adapters 2e-4]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "RATE", allow_negative_numbers = true)
    )]
    pub learning_rate: Option<f64>,
    /// Steps over which the learning rate rises to it [default: 50, at most a quarter of all]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub warmup_steps: Option<usize>,
    /// Decay of the learning rate at the end: `linear`, `cosine`, or `constant`, none at all
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<Schedule>, default_value = "linear"))]
    pub schedule: Schedule,
    /// Share of the steps, at the end, over which it falls to zero
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE", allow_negative_numbers = true, default_value_t = TrainConfig::default().decay_share))]
    pub decay_share: f64,
    /// Decoupled weight decay
    #[cfg_attr(feature = "cli", arg(long, value_name = "DECAY", allow_negative_numbers = true, default_value_t = TrainConfig::default().weight_decay))]
    pub weight_decay: f64,
    /// Decay of the mean of the gradients in AdamW, β₁
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[0]))]
    pub beta1: f64,
    /// Decay of the mean of their squares, β₂
    #[cfg_attr(feature = "cli", arg(long, value_name = "BETA", allow_negative_numbers = true, default_value_t = TrainConfig::default().betas[1]))]
    pub beta2: f64,
    /// Largest norm of all gradients together
    #[cfg_attr(feature = "cli", arg(long, value_name = "NORM", allow_negative_numbers = true, default_value_t = TrainConfig::default().clip_norm))]
    pub clip_norm: f64,
}

/// Validation of a run on held-out data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "cli",
    derive(clap::Args),
    command(next_help_heading = "Validation")
)]
#[serde(rename_all = "kebab-case", default)]
pub struct ValidationConfig {
    /// Held-out examples, as those of --train: the result is then the best checkpoint by their
    /// loss, not the last
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub validation: Option<PathBuf>,
    /// Steps between validations, each of which makes a checkpoint [default: as for checkpoints]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub validation_steps: Option<usize>,
    /// Stop after so many validations without a better one [default: never]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub patience: Option<usize>,
    /// Choose the best checkpoint by a score, and by the loss only among equals: `exact`, the share
    /// of greedily decoded answers that equal the target token for token
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME", value_parser = named::<ValidationMetric>))]
    pub validation_metric: Option<ValidationMetric>,
    /// Examples of which the score is taken, the first of the file [default: 100]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub validation_examples: Option<usize>,
}

/// A score by which the best checkpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValidationMetric {
    /// Share of greedily decoded answers that equal the target token for token.
    Exact,
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
    /// Place where hidden states that no bridge changes are kept for the epochs to come: memory,
    /// off, or a directory, where further runs over the same models, connections and data find them
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "PLACE", default_value = "memory")
    )]
    pub activation_cache: String,
    /// Mebibytes of them that are kept; the others are computed in every epoch
    #[cfg_attr(feature = "cli", arg(long, value_name = "MIB", default_value_t = ActivationConfig::default().activation_budget))]
    pub activation_budget: u64,
    /// Type that they are kept in. In f32 the run is the same to the last bit as one that keeps
    /// none; the halves take half the room
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
    /// Form of the bridges, to which the options below add: `normed`, with norms on both inputs and
    /// an output in units of the anchor's hidden states, or `paper`, without either
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORM", value_parser = named::<BridgeForm>, default_value = "normed"))]
    pub bridge: BridgeForm,
    /// Attention heads of the bridges, a divisor of their inner width [default: the anchor's]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub heads: Option<usize>,
    /// Width of queries, keys and values, all heads together [default: the anchor's width]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub d_inner: Option<usize>,
    /// RMS norm of the anchor's hidden states before the bridge's queries; `normed` bridges have it
    #[cfg_attr(feature = "cli", arg(long))]
    pub anchor_norm: bool,
    /// RMS norm of the augmenting model's hidden states before they are projected; `normed` bridges
    /// have it
    #[cfg_attr(feature = "cli", arg(long))]
    pub augmenting_norm: bool,
    /// RMS norm of the bridge's output before it is added
    #[cfg_attr(feature = "cli", arg(long))]
    pub output_norm: bool,
    /// Number that these norms add to the mean square
    #[cfg_attr(feature = "cli", arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = BridgeOptions::default().norm_epsilon))]
    pub norm_epsilon: f64,
    /// Biases of all matrices of the bridge, not of the projection alone
    #[cfg_attr(feature = "cli", arg(long))]
    pub bridge_bias: bool,
    /// Learnt factor of the bridge's output: `none`, as in the paper; `scalar`, one number for the
    /// whole bridge; or `heads`, one for every head and position, from the anchor's hidden state
    #[cfg_attr(feature = "cli", arg(long, value_name = "KIND", value_parser = named::<Gate>, default_value = "none"))]
    pub gate: Gate,
    /// Output of fresh bridges: `zero`, the composition starts as its anchor, or `random`, a little
    /// of what random weights read
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOW", value_parser = named::<OutputInit>, default_value = "zero"))]
    pub output_init: OutputInit,
    /// Unit in which the bridge's output is learnt: `one`, or `anchor`, the size of the anchor's
    /// hidden states at that block [default: that of the form]
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "UNIT", value_parser = named::<OutputUnit>))]
    pub output_unit: Option<OutputUnit>,
    /// Type in which bridges compute and are stored: f32, f16 or bf16; they are trained in f32
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
    /// Devices of this machine that share the batches of every step, as cuda:0,cuda:1; one that is
    /// named twice works on two at a time [default: that of --device]
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
    /// Processes that share them, too: HOST:PORT of each that was started with --listen. No
    /// concern of such a process itself
    #[serde(with = "text::comma_separated", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ADDRESSES", value_delimiter = ',')
    )]
    pub workers: Vec<String>,
    /// Have no run, but work for that of another process, started with the same flags, until it is
    /// over. Port 0 is one that is free
    #[serde(skip)]
    #[cfg_attr(feature = "cli", arg(long, value_name = "HOST:PORT"))]
    pub listen: Option<String>,
    /// File with a secret that both sides have, which is needed to listen to other machines
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub worker_token: Option<PathBuf>,
    /// Seconds that a worker may take to begin listening, or to say that it is still there
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
            steps: train.steps,
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
        let is_baseline = self.baseline.is_some();
        require(&[
            ("anchor", self.anchor.is_some() || is_extended),
            ("augmenting", !self.augmenting.is_empty()),
            ("out", !self.out.as_os_str().is_empty()),
            ("train", self.training.has_data()),
        ])?;
        let bridges = &self.bridges;
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
    pub(super) fn resolve_open(&mut self, train: &TrainConfig) {
        self.rows = Some(self.rows());
        let optimizer = &mut self.optimizer;
        optimizer.learning_rate = Some(train.learning_rate);
        optimizer.warmup_steps = Some(train.warmup_steps);
    }

    fn has_data(&self) -> bool {
        !self.train.as_os_str().is_empty()
    }

    /// The settings of the trainer, checked.
    ///
    /// # Errors
    ///
    /// [`TrainError::Setting`] or [`TrainError::Config`] with the setting that is wrong.
    pub fn resolve(&self, seed: u64) -> Result<TrainConfig, TrainError> {
        let validation = &self.validation;
        let needs = |name, is_given: bool, other: bool, reason| (name, !is_given || other, reason);
        let has_data = validation.validation.is_some();
        let needs_data = "needs --validation";
        check([
            ("rows", self.rows() >= 1, "must be at least 1"),
            needs(
                "validation-steps",
                validation.validation_steps.is_some(),
                has_data,
                needs_data,
            ),
            needs(
                "patience",
                validation.patience.is_some(),
                has_data,
                needs_data,
            ),
            needs(
                "validation-metric",
                validation.validation_metric.is_some(),
                has_data,
                needs_data,
            ),
            needs(
                "validation-examples",
                validation.validation_examples.is_some(),
                validation.validation_metric.is_some(),
                "needs --validation-metric",
            ),
            (
                "validation-examples",
                validation.validation_examples != Some(0),
                "must be at least 1",
            ),
        ])?;
        let default = TrainConfig::default().with_steps(self.steps);
        let optimizer = &self.optimizer;
        let config = TrainConfig {
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
        };
        config.validate()?;
        Ok(config)
    }
}

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

/// Values that files write as text, as flags do.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// One text, or a list of them.
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text in quotes, or a list of them")]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }

    impl From<OneOrMany> for Vec<String> {
        fn from(texts: OneOrMany) -> Self {
            match texts {
                OneOrMany::One(text) => vec![text],
                OneOrMany::Many(texts) => texts,
            }
        }
    }

    pub(super) mod option {
        use super::*;

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(in super::super) fn serialize<T: Display, S: Serializer>(
            value: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            value.as_ref().map(T::to_string).serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, T, D>(
            deserializer: D,
        ) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err: Display>,
            D: Deserializer<'de>,
        {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(serde::de::Error::custom))
                .transpose()
        }
    }

    pub(super) mod list {
        use super::*;

        pub(in super::super) fn serialize<T: Display, S: Serializer>(
            values: &[T],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(values.iter().map(T::to_string))
        }

        pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
        where
            T: FromStr<Err: Display>,
            D: Deserializer<'de>,
        {
            let texts: Vec<String> = OneOrMany::deserialize(deserializer)?.into();
            let values = texts.iter().map(|text| text.parse());
            values
                .collect::<Result<_, _>>()
                .map_err(serde::de::Error::custom)
        }
    }

    pub(super) mod comma_separated {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(
            values: &[String],
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            values.serialize(serializer)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Vec<String>, D::Error> {
            let texts: Vec<String> = OneOrMany::deserialize(deserializer)?.into();
            let parts = texts.iter().flat_map(|text| text.split(','));
            Ok(parts.map(str::to_owned).collect())
        }
    }
}
