//! A composition on disk: a directory with `composition.json` and `bridge.safetensors`.
//!
//! Only what was trained is stored. The frozen models are named by the SHA-256 of their weights
//! and tokenizers, and loading against others is an error. Bridge weights are stored (out, in), as
//! torch does, under `a{m}.c{n}.{proj.weight,proj.bias,q.weight,k.weight,v.weight,o.weight}` and
//! further names for the options; Python opens them with `safetensors.torch.load_file`. The format
//! is described in docs/composition.md and docs/composition.schema.json.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use calm_backend::FloatType;
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{io, read_bytes};
use crate::tensors::{NamedTensors, stored_type};
use crate::{BridgeOptions, Bridges, ComposeError, Connection, FrozenParts, Mode, TrainingRecord};

/// Version 1 had neither `options` nor `tokenizer_sha256`, version 2 neither `mode` nor
/// `untrained_seed`; they are read as ones without them.
const FORMAT_VERSION: u32 = 3;
const READ_VERSIONS: [u64; 3] = [1, 2, 3];
const DESCRIPTION: &str = "composition.json";
pub(crate) const WEIGHTS: &str = "bridge.safetensors";

/// How something was trained is told in kilobytes.
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// The most that bridges are read without knowing what they join: those of the largest models have
/// a few billion parameters.
pub(crate) const MAX_WEIGHTS_BYTES: u64 = 64 << 30;

/// A header has about a hundred bytes per tensor.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// A frozen model that a composition was trained over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelReference {
    /// The directory it was read from, as the user gave it, or `hf:owner/name@commit`.
    pub path: PathBuf,
    /// SHA-256 of its weight files; of untrained weights, of the file that they would be saved in,
    /// see [`FrozenModel::weights_sha256`](calm_models::FrozenModel::weights_sha256).
    pub weights_sha256: String,
    /// Its weights are not those of the directory, but drawn from this seed:
    /// [`LoadedModel::random_init_like`](crate::LoadedModel::random_init_like).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untrained_seed: Option<u64>,
    /// SHA-256 of its vocabulary, [`Tokenizer::sha256`](calm_models::Tokenizer::sha256); none if
    /// the composition was made before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
}

/// Hashes of a model at hand, to be held against a [`ModelReference`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelHashes<'a> {
    /// SHA-256 of its weight files.
    pub weights: &'a str,
    /// SHA-256 of its vocabulary.
    pub tokenizer: &'a str,
}

/// `composition.json`: what is composed, and how it was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompositionFile {
    /// Version of this format.
    pub format_version: u32,
    /// m_B.
    pub anchor: ModelReference,
    /// Every m_A.
    pub augmenting: Vec<ModelReference>,
    /// Per augmenting model, pairs `[augmenting block, anchor block]`, 1-based.
    pub connections: Vec<Vec<Connection>>,
    /// Attention heads of the bridges.
    pub heads: usize,
    /// Options of the bridges.
    #[serde(default)]
    pub options: BridgeOptions,
    /// How far the augmenting models read along.
    #[serde(default)]
    pub mode: Mode,
    /// How the bridges were trained: settings, data, versions.
    pub training: TrainingRecord,
}

impl CompositionFile {
    /// Describes a composition of the paper's bridges in the current format.
    pub fn new(
        anchor: ModelReference,
        augmenting: Vec<ModelReference>,
        connections: Vec<Vec<Connection>>,
        heads: usize,
        training: TrainingRecord,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            anchor,
            augmenting,
            connections,
            heads,
            options: BridgeOptions::default(),
            mode: Mode::default(),
            training,
        }
    }

    /// Reads `composition.json` of a directory.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] if there is none, [`ComposeError::Malformed`] if it has another
    /// version or a field that is missing or unknown.
    pub fn read(directory: &Path) -> Result<Self, ComposeError> {
        let path = directory.join(DESCRIPTION);
        let text = read_bytes(&path, MAX_DESCRIPTION_BYTES)?;
        let malformed = |reason| ComposeError::Malformed {
            path: path.clone(),
            reason,
        };
        let value: Value = serde_json::from_slice(&text)
            .map_err(|error| malformed(format!("not JSON: {error}")))?;
        match value.get("format_version").and_then(Value::as_u64) {
            Some(version) if READ_VERSIONS.contains(&version) => {}
            found => {
                return Err(malformed(format!(
                    "format_version is {}, this program reads 1 to {FORMAT_VERSION}",
                    found.map_or("missing".to_owned(), |version| version.to_string())
                )));
            }
        }
        let mut file: Self =
            serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        if file.connections.len() != file.augmenting.len() {
            return Err(malformed(
                "`connections` and `augmenting` differ in length".to_owned(),
            ));
        }
        file.format_version = FORMAT_VERSION; // What is written again is of this version.
        Ok(file)
    }

    /// Checks by the SHA-256 of their weights and vocabularies that frozen models are those that
    /// the composition was trained over.
    ///
    /// # Errors
    ///
    /// [`ComposeError::AugmentingCount`] if they are more or fewer, [`ComposeError::OtherWeights`]
    /// or [`ComposeError::OtherTokenizer`] with both hashes of the first that is another.
    pub fn check_models(
        &self,
        directory: &Path,
        anchor: ModelHashes<'_>,
        augmenting: &[ModelHashes<'_>],
    ) -> Result<(), ComposeError> {
        self.check_count(augmenting.len())?;
        self.anchor.check(directory, "anchor", anchor)?;
        for (index, (expected, found)) in self.augmenting.iter().zip(augmenting).enumerate() {
            expected.check(directory, &format!("augmenting model {index}"), *found)?;
        }
        Ok(())
    }

    /// Checks that there are as many augmenting models as the composition joins.
    ///
    /// # Errors
    ///
    /// [`ComposeError::AugmentingCount`] if they are more or fewer.
    pub fn check_count(&self, augmenting: usize) -> Result<(), ComposeError> {
        if augmenting == self.augmenting.len() {
            return Ok(());
        }
        Err(ComposeError::AugmentingCount {
            expected: self.augmenting.len(),
            found: augmenting,
        })
    }

    /// Writes description and bridges. Each file appears whole or not at all, the description,
    /// without which a directory is no composition, last.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] naming the file that could not be written.
    pub fn write(&self, directory: &Path, bridges: &Bridges) -> Result<(), ComposeError> {
        self.write_files(directory, &serialize(bridges, self.options.dtype))
    }

    /// [`CompositionFile::write`] of bridges as their file has them.
    pub(crate) fn write_files(&self, directory: &Path, weights: &[u8]) -> Result<(), ComposeError> {
        fs::create_dir_all(directory).map_err(io(directory))?;
        calm_files::write(directory.join(WEIGHTS), weights)?;
        let mut text = serde_json::to_vec_pretty(self).expect("a description is plain data");
        text.push(b'\n');
        Ok(calm_files::write(directory.join(DESCRIPTION), &text)?)
    }

    /// Reads the bridges, which must fit these models.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Malformed`] listing tensors that are missing, unknown or of another shape.
    pub fn read_bridges(
        &self,
        directory: &Path,
        parts: &FrozenParts,
        device: &Device,
    ) -> Result<Bridges, ComposeError> {
        let bridges = Bridges::init(&parts.bridge_sets_with(self.heads, self.options), 0, device)?;
        read_tensors(&directory.join(WEIGHTS), bridges, device)
    }
}

impl ModelReference {
    fn check(
        &self,
        directory: &Path,
        role: &str,
        found: ModelHashes<'_>,
    ) -> Result<(), ComposeError> {
        let (path, role) = (directory.join(DESCRIPTION), role.to_owned());
        if self.weights_sha256 != found.weights {
            let (expected, found) = (self.weights_sha256.clone(), found.weights.to_owned());
            return Err(ComposeError::OtherWeights {
                path,
                role,
                expected,
                found,
            });
        }
        match &self.tokenizer_sha256 {
            Some(expected) if expected != found.tokenizer => Err(ComposeError::OtherTokenizer {
                path,
                role,
                expected: expected.clone(),
                found: found.tokenizer.to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

fn read_tensors(path: &Path, bridges: Bridges, device: &Device) -> Result<Bridges, ComposeError> {
    let max_bytes = MAX_HEADER_BYTES + 4 * bridges.parameter_count() as u64;
    let bytes = read_bytes(path, max_bytes)?;
    let mut tensors = NamedTensors::parse(path, &bytes)?;
    let bridges = take_bridges(&mut tensors, bridges, device);
    tensors.finish()?;
    Ok(bridges)
}

/// The bridges with every parameter taken from a file, or as they were where it has a problem.
pub(crate) fn take_bridges(
    tensors: &mut NamedTensors<'_>,
    mut bridges: Bridges,
    device: &Device,
) -> Bridges {
    for (m, set) in bridges.of.iter_mut().enumerate() {
        for (n, bridge) in set.iter_mut().enumerate() {
            let dtype = bridge.config().options.dtype;
            for (part, linear) in bridge.linears_mut() {
                take_linear(tensors, &format!("a{m}.c{n}.{part}"), linear, dtype, device);
            }
            for (part, vector) in bridge.vectors_mut() {
                take_vector(tensors, &format!("a{m}.c{n}.{part}"), vector, dtype, device);
            }
        }
    }
    bridges
}

fn take_linear(
    tensors: &mut NamedTensors<'_>,
    name: &str,
    linear: &mut Linear,
    dtype: FloatType,
    device: &Device,
) {
    let [d_input, d_output] = linear.weight.shape().dims();
    let shape = [d_output, d_input];
    if let Some(data) = tensors.take_float(&format!("{name}.weight"), dtype, &shape) {
        // Turned in memory, too: products with a matrix in another order differ in their last bits
        // from those that it was trained with.
        let weight = from_data::<2>(data, dtype, device).transpose().into_data();
        linear.weight = Param::from_tensor(from_data(weight, dtype, device));
    }
    if let Some(bias) = &mut linear.bias {
        take_vector(tensors, &format!("{name}.bias"), bias, dtype, device);
    }
}

fn take_vector(
    tensors: &mut NamedTensors<'_>,
    name: &str,
    vector: &mut Param<Tensor<1>>,
    dtype: FloatType,
    device: &Device,
) {
    let shape: [usize; 1] = vector.shape().dims();
    if let Some(data) = tensors.take_float(name, dtype, &shape) {
        *vector = Param::from_tensor(from_data(data, dtype, device));
    }
}

/// Without the type, data of any type would become `f32`.
fn from_data<const D: usize>(data: TensorData, dtype: FloatType, device: &Device) -> Tensor<D> {
    let dtype: FloatDType = dtype.into();
    Tensor::from_data(data, (device, DType::from(dtype)))
}

pub(crate) fn serialize(bridges: &Bridges, dtype: FloatType) -> Vec<u8> {
    let stored_type = stored_type(dtype);
    let dtype = DType::from(FloatDType::from(dtype));
    let tensors = bridges.named_parameters().into_iter();
    let tensors: Vec<_> = tensors
        .map(|(name, data)| (name, data.convert_dtype(dtype)))
        .collect();
    let views = tensors.iter().map(|(name, data)| {
        let shape = data.shape().to_vec();
        let view = TensorView::new(stored_type, shape, data.as_bytes());
        (name, view.expect("bytes and shape of one tensor agree"))
    });
    safetensors::serialize(views, None).expect("names are distinct and tensors are whole")
}
