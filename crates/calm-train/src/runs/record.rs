//! Records of runs, as files have them: what a run depends on, and what came of it.

use std::env;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use calm_compose::{BridgeOptions, CompositionFile, Connection, LoadedModel, Mode, TrainingRecord};
use calm_data::TooLong;
use serde::{Deserialize, Serialize};

use super::config::{Baseline, ValidationMetric};
use super::examples::ExampleConfig;
use super::masking::{MaskingIdentity, MaskingRecord};
use crate::{ActivationStatistics, RunSummary, TrainConfig, TrainError, ValidationMetrics};

/// Everything that the outcome of a run depends on. A run that differs in it is another run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RunIdentity<S> {
    /// Kind of the run, which its subject implies.
    #[serde(skip)]
    pub(super) name: &'static str,
    pub(super) program: String,
    /// Trained part.
    #[serde(rename = "what")]
    pub(super) subject: S,
    pub(super) data_sha256: String,
    /// How rows become examples; none for the usual names, as in runs of before there was a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) examples: Option<ExampleConfig>,
    /// None for [`TooLong::Error`], as in runs of before there was a choice.
    pub(super) too_long: Option<TooLong>,
    /// Most tokens of a row, if rows hold several examples.
    pub(super) packed: Option<usize>,
    pub(super) validation: Option<ValidationIdentity>,
    pub(super) rows: usize,
    pub(super) train: TrainConfig,
}

/// Bridges that are trained.
#[derive(Debug, Clone, Serialize)]
pub(super) struct BridgeIdentity {
    pub(super) composed: ComposedIdentity,
    /// The composition that is extended.
    pub(super) extended: Option<CompositionFile>,
    /// SHA-256 of the bridges that are trained further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continued: Option<String>,
    /// Units of the bridges' outputs; none where all are one. They are measured anew when a run goes
    /// on, and by each of its workers.
    pub(super) output_units: Option<Vec<Vec<f64>>>,
    /// Type of cached activations, where it changes the outcome.
    pub(super) activations: Option<&'static str>,
}

/// A composition of frozen models. The places of their files are no part of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ComposedIdentity {
    pub(super) anchor_sha256: String,
    pub(super) tokenizer_sha256: Option<String>,
    pub(super) augmenting_sha256: Vec<String>,
    pub(super) connections: Vec<Vec<Connection>>,
    pub(super) heads: usize,
    pub(super) options: BridgeOptions,
    pub(super) mode: Mode,
    pub(super) noise: f64,
    /// Words that the anchor is not shown; none where it sees all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) masking: Option<MaskingIdentity>,
    /// Type in which the models compute; none for f32.
    pub(super) dtype: Option<String>,
}

/// Data and score of a validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationIdentity {
    /// SHA-256 of the data file.
    pub data_sha256: String,
    /// Score that is taken besides the loss.
    pub metric: Option<ValidationMetric>,
    /// Examples of which it is taken.
    pub scored_examples: usize,
    /// Number of examples that are held out of the training data, if these are not a file of
    /// their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<usize>,
}

/// Circumstances of a run, which may change when it goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Devices and processes that share the steps, if more than one does.
    pub workers: Option<Vec<String>>,
    /// Public name of the device.
    pub device: String,
    /// Threads of the processor.
    #[serde(default)]
    pub threads: usize,
    /// Operating system and processor.
    #[serde(default)]
    pub system: String,
}

impl Environment {
    /// The circumstances of this process.
    pub fn new(device: &Device, workers: Option<Vec<String>>) -> Self {
        Self {
            workers,
            device: calm_backend::device_name(device),
            threads: calm_backend::threads(),
            system: format!("{} {}", env::consts::OS, env::consts::ARCH),
        }
    }
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256.
    pub sha256: String,
    /// Examples that are used.
    pub examples: usize,
    /// Examples that are held out of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_out: usize,
    /// Copies of these, which are not trained on either.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: usize,
    /// Their tokens.
    pub tokens: u64,
    /// Share of padding in the batches, to four digits.
    pub padding_share: f64,
    /// Rows that hold several examples, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<PackedRecord>,
    /// Policy for examples that are too long.
    pub too_long: TooLong,
    /// Examples that were cut.
    pub truncated: u64,
    /// Examples that were left out.
    pub skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Rows that hold several examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedRecord {
    /// Most tokens of a row.
    pub context: usize,
    /// Rows of an epoch.
    pub rows: usize,
}

/// How parameters were trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// Name and version of the program.
    pub program: String,
    /// The training data.
    pub data: DataRecord,
    /// Examples in a batch.
    pub rows: usize,
    /// Settings of the trainer.
    pub settings: TrainConfig,
    /// Step whose parameters are the result.
    pub step: usize,
    /// Steps that were done.
    pub steps_done: usize,
    /// Steps of these that moved nothing.
    pub skipped_steps: usize,
    /// The validation, if there was one.
    pub validation: Option<ValidationIdentity>,
    /// Result of the validation at the best step.
    pub best: Option<ValidationMetrics>,
    /// Result of the run, beside what it began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<RunSummary>,
    /// Loss of the last step, in nats per target token; none if it was not finite.
    pub final_loss: Option<f32>,
    /// Seconds that the steps took, those of earlier processes included.
    pub seconds: f64,
    /// Tokens that all steps read; 0 in records of before they were counted.
    #[serde(default)]
    pub tokens_read: u64,
    /// Tokens that carried loss in all steps, likewise.
    #[serde(default)]
    pub target_tokens: u64,
    /// Floating-point operations of all steps by arithmetic, those that were done twice and those
    /// of validations not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// The most memory that any process of the run held, in bytes, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

/// The commit that this program was built from, if `CALM_COMMIT` was set at that time.
///
/// An installed program cannot ask git: that names the commit of whatever checkout it runs in.
pub fn commit() -> Option<&'static str> {
    option_env!("CALM_COMMIT")
}

/// Name and version of this program, and its commit if that is known.
pub fn program() -> String {
    let version = concat!("calm ", env!("CARGO_PKG_VERSION"));
    match commit() {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    }
}

/// How the bridges of a composition were trained: `training` in `composition.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BridgeRecord {
    /// The run.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Public name of the device.
    pub device: String,
    /// Parameters of the bridges.
    pub added_parameters: AddedParameters,
    /// Noise on the augmenting models' hidden states.
    pub noise: f64,
    /// Words that the anchor was not shown, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masking: Option<MaskingRecord>,
    /// Type in which the frozen models computed.
    pub dtype: String,
    /// The cache of activations, if there was one.
    pub activations: Option<ActivationStatistics>,
    /// Devices and processes that shared the steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Vec<String>>,
    /// The record of the composition that was extended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended: Option<TrainingRecord>,
    /// The record of the composition that was trained further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continued: Option<TrainingRecord>,
}

/// How a checkpoint was trained: `training.json` beside its weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TuningRecord {
    /// The run.
    #[serde(flatten)]
    pub run: RunRecord,
    /// Public name of the device.
    pub device: String,
    /// Parameters that were trained.
    pub trained_parameters: usize,
    /// Rank of the adapters that are merged into the weights, if not all weights were trained.
    pub rank: Option<usize>,
}

impl TuningRecord {
    /// Name of the file.
    pub const FILE: &str = "training.json";

    /// Reads the record of a checkpoint in a directory.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if there is none, [`TrainError::Malformed`] if it is damaged.
    pub fn read(directory: &Path) -> Result<Self, TrainError> {
        let path = directory.join(Self::FILE);
        let text = calm_files::read_text(&path).map_err(|source| TrainError::Io {
            path: path.clone(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|error| TrainError::Malformed {
            path,
            reason: error.to_string(),
        })
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), TrainError> {
        let text = serde_json::to_vec_pretty(self).expect("a record is plain data");
        Ok(calm_files::write(directory.join(Self::FILE), text)?)
    }
}

/// Counts of the parameters of bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedParameters {
    /// All of them.
    pub stored: usize,
    /// By the paper's count, n (D_A D_B + 3 D_B²), which leaves out W_O, biases and norms.
    pub paper: usize,
}

/// The result of a run that trains one model.
#[derive(Debug, Clone, Serialize)]
pub struct ModelOutcome {
    /// Directory of the checkpoint.
    pub out: PathBuf,
    /// The model that training began with, unless its weights were random.
    pub from: Option<BaseModel>,
    /// Rank of the adapters that are merged into the weights, if not all weights were trained.
    pub rank: Option<usize>,
    /// Parameters that were trained.
    pub trained_parameters: usize,
    /// How it was trained.
    pub training: RunRecord,
}

/// A model that training begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseModel {
    /// Its name.
    pub source: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// SHA-256 of its tokenizer.
    pub tokenizer_sha256: String,
}

impl BaseModel {
    pub(super) fn of(loaded: &LoadedModel) -> Result<Self, TrainError> {
        Ok(Self {
            source: loaded.files.source.to_string(),
            weights_sha256: loaded.model.weights_sha256()?.to_owned(),
            tokenizer_sha256: loaded.model.tokenizer.sha256().to_owned(),
        })
    }
}

/// A trained baseline.
#[derive(Debug, Clone, Serialize)]
pub struct BaselineOutcome {
    /// Its kind.
    pub baseline: Baseline,
    /// Rank of the adapters.
    pub rank: Option<usize>,
    /// Parameters that were trained.
    pub trainable_parameters: usize,
    /// Parameters of the bridges that it is compared with.
    pub bridge_parameters: usize,
    /// Directory of the checkpoint.
    pub out: PathBuf,
    /// The run.
    pub training: RunRecord,
}

impl BaselineOutcome {
    pub(super) fn new(baseline: Baseline, bridge_parameters: usize, trained: ModelOutcome) -> Self {
        Self {
            baseline,
            rank: trained.rank,
            trainable_parameters: trained.trained_parameters,
            bridge_parameters,
            out: trained.out,
            training: trained.training,
        }
    }
}
