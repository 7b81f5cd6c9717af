//! Settings of runs that train one model.

use std::path::PathBuf;

use calm_backend::{ComputeType, FloatType};
use calm_models::ModelSource;
use serde::{Deserialize, Serialize};

use super::checks::{check, require};
use super::text;
use super::training::TrainingConfig;
use crate::TrainError;
#[cfg(feature = "cli")]
use crate::runs::flags::any_path;

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

/// Settings of a run that trains a checkpoint further: all of its weights, or adapters on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct FinetuneConfig {
    /// Checkpoint to train further, with its tokenizer. It is not changed itself.
    #[serde(with = "text::option", skip_serializing_if = "Option::is_none")]
    pub from: Option<ModelSource>,
    /// Directory for the checkpoint.
    pub out: PathBuf,
    /// Weights that move. Default: adapters of rank 16.
    pub tuned: TunedWeights,
    /// Whether rows of `context` tokens are filled with several examples, none of which sees
    /// another, and longer texts are cut into pieces. Default: yes.
    pub pack: bool,
    /// Most tokens of a row. Default: what the model can read, of packed rows at most 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// Number type in which the weights are stored. They are trained in f32.
    pub dtype: ComputeType,
    /// Whether a model with unknown settings or tensors is loaded all the same, with a warning.
    pub lenient: bool,
    /// Data, optimiser and schedule. Default of the learning rate: 2e-4 of adapters, 5e-5 of all
    /// weights; of the rows of a batch: 4 if they are packed, else 32.
    #[serde(flatten)]
    pub training: TrainingConfig,
}

/// Weights of a model that are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunedWeights {
    /// All of them.
    All,
    /// Low-rank adapters of this rank on the matrices of all blocks.
    LoraRank(usize),
    /// Such adapters of the rank that comes nearest to this number of parameters, that of the
    /// bridges which they are compared with, say.
    LoraParameters(usize),
}

impl Default for TunedWeights {
    fn default() -> Self {
        Self::LoraRank(16)
    }
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        Self {
            from: None,
            out: PathBuf::new(),
            tuned: TunedWeights::default(),
            pack: true,
            context: None,
            dtype: ComputeType::default(),
            lenient: false,
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

impl PretrainConfig {
    /// The settings of the run that trains the model of `from`, if there is one.
    pub(in crate::runs) fn finetuning(&self) -> Option<FinetuneConfig> {
        Some(FinetuneConfig {
            from: Some(self.from.clone()?),
            out: self.out.clone(),
            tuned: self.lora.map_or(TunedWeights::All, TunedWeights::LoraRank),
            pack: true,
            context: self.context,
            dtype: self.dtype,
            lenient: self.lenient,
            training: self.training.clone(),
        })
    }

    pub(in crate::runs) fn blocks(&self) -> usize {
        self.blocks.unwrap_or(4)
    }

    pub(in crate::runs) fn d_model(&self) -> usize {
        self.d_model.unwrap_or(128)
    }

    pub(in crate::runs) fn heads(&self) -> usize {
        self.heads.unwrap_or(4)
    }

    pub(in crate::runs) fn eos(&self) -> &str {
        self.eos.as_deref().unwrap_or("</s>")
    }

    /// The type that the weights are stored in.
    pub(in crate::runs) fn stored_type(&self) -> FloatType {
        stored_type(self.dtype)
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

impl FinetuneConfig {
    /// The settings, with the defaults of a model that was trained before.
    pub(in crate::runs) fn with_defaults(mut self) -> Self {
        let optimizer = &mut self.training.optimizer;
        let rate = match self.tuned {
            TunedWeights::All => TUNED_RATE,
            TunedWeights::LoraRank(_) | TunedWeights::LoraParameters(_) => LORA_RATE,
        };
        optimizer.learning_rate.get_or_insert(rate);
        if self.pack {
            self.training.rows.get_or_insert(PACKED_ROWS);
        }
        self
    }

    /// The type that the weights are stored in.
    pub(in crate::runs) fn stored_type(&self) -> FloatType {
        stored_type(self.dtype)
    }

    /// Checks the settings that need no file.
    ///
    /// # Errors
    ///
    /// [`TrainError::Missing`] or [`TrainError::Setting`].
    pub fn validate(&self) -> Result<(), TrainError> {
        require(&[
            ("train", self.training.has_data()),
            ("out", !self.out.as_os_str().is_empty()),
            ("from", self.from.is_some()),
        ])?;
        check([(
            "lora",
            self.tuned != TunedWeights::LoraRank(0),
            "must be at least 1",
        )])
    }
}

/// Weights are trained in f32, and stored so unless another type is given.
fn stored_type(dtype: ComputeType) -> FloatType {
    match dtype {
        ComputeType::Auto => FloatType::F32,
        ComputeType::Fixed(float) => float,
    }
}

/// Learning rate of a model that was trained before.
const TUNED_RATE: f64 = 5e-5;
/// Learning rate of adapters.
const LORA_RATE: f64 = 2e-4;
/// Packed rows of a batch, which are long.
const PACKED_ROWS: usize = 4;
