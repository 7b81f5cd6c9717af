//! A composition on disk: a directory with `composition.json` and `bridge.safetensors`.
//!
//! Only what was trained is stored. The frozen models are named by the SHA-256 of their weights
//! and tokenizers, and loading against others is an error. Bridge weights are stored (out, in), as
//! torch does, under `a{m}.c{n}.{proj.weight,proj.bias,q.weight,k.weight,v.weight,o.weight}` and
//! further names for the options; Python opens them with `safetensors.torch.load_file`. The format
//! is described in docs/composition.md and docs/composition.schema.json.

mod bytes;
mod merge;
mod reference;
mod tensors;
mod training;
mod weights;

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::bytes::read_bytes;
pub use self::reference::{ModelHashes, ModelReference};
pub(crate) use self::tensors::{NamedTensors, parse, to_f32};
pub use self::training::TrainingRecord;
pub(crate) use self::weights::take_bridges;
use crate::{BridgeConfig, BridgeOptions, Bridges, ComposeError, Connection, FrozenParts, Mode};

/// Version 1 has neither `options` nor `tokenizer_sha256`, version 2 neither `mode` nor
/// `untrained_seed`, version 3 neither `absolute_path` nor `relative_path`. All are read with the
/// defaults.
const FORMAT_VERSION: u32 = 4;
const READ_VERSIONS: [u64; 4] = [1, 2, 3, 4];
const DESCRIPTION: &str = "composition.json";
const WEIGHTS: &str = "bridge.safetensors";

/// The record of a training takes kilobytes.
const MAX_DESCRIPTION_BYTES: u64 = 16 << 20;

/// Limit where the sizes of the models are not known: bridges of the largest models have a few
/// billion parameters.
pub(crate) const MAX_WEIGHTS_BYTES: u64 = 64 << 30;

/// `composition.json`: the models, their connections, the bridges' options, and a record of the
/// training.
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
    #[serde(default = "BridgeOptions::paper")]
    pub options: BridgeOptions,
    /// The part of a text that augmenting models read.
    #[serde(default)]
    pub mode: Mode,
    /// Record of the training.
    pub training: TrainingRecord,
}

impl CompositionFile {
    /// A description of the current version, with the paper's bridges.
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
            options: BridgeOptions::paper(),
            mode: Mode::default(),
            training,
        }
    }

    /// Reads `composition.json` of a directory.
    ///
    /// # Errors
    ///
    /// [`ComposeError::NoComposition`] if there is none, [`ComposeError::Io`] if it cannot be read,
    /// [`ComposeError::Malformed`] if it has another version or a field that is missing or unknown.
    pub fn read(directory: &Path) -> Result<Self, ComposeError> {
        let path = directory.join(DESCRIPTION);
        if !path.exists() {
            return Err(ComposeError::NoComposition {
                path: directory.to_owned(),
            });
        }
        let text = read_bytes(&path, MAX_DESCRIPTION_BYTES)?;
        let malformed = |reason| ComposeError::Malformed {
            path: path.clone(),
            reason,
        };
        let text = calm_files::without_mark(&text).map_err(|error| malformed(error.to_string()))?;
        let value: Value = serde_json::from_slice(text)
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

    /// Writes description and bridges, with the ways from `directory` and from the root to each
    /// model. Each file appears whole or not at all. The description comes last, since a directory
    /// without it is no composition.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] naming the file that could not be written, [`ComposeError::Malformed`] if
    /// the path of a model is no text.
    pub fn write(&self, directory: &Path, bridges: &Bridges) -> Result<(), ComposeError> {
        self.write_files(directory, &weights::serialize(bridges, self.options.dtype))
    }

    /// [`CompositionFile::write`] for the bytes of `bridge.safetensors`.
    fn write_files(&self, directory: &Path, weights: &[u8]) -> Result<(), ComposeError> {
        fs::create_dir_all(directory).map_err(bytes::io(directory))?;
        calm_files::write(directory.join(WEIGHTS), weights)?;
        let path = directory.join(DESCRIPTION);
        let augmenting = self.augmenting.iter();
        let file = Self {
            anchor: self.anchor.kept_in(directory),
            augmenting: augmenting.map(|model| model.kept_in(directory)).collect(),
            ..self.clone()
        };
        let mut text = serde_json::to_vec_pretty(&file).map_err(|error| {
            let (path, reason) = (path.clone(), format!("cannot be written: {error}"));
            ComposeError::Malformed { path, reason }
        })?;
        text.push(b'\n');
        Ok(calm_files::write(path, text)?)
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
        let sets = parts.bridge_sets_with(self.heads, self.options);
        self.read_sets(directory, &sets, device)
    }

    /// The same for the sizes and the connections of bridges to every augmenting model.
    pub(crate) fn read_sets(
        &self,
        directory: &Path,
        sets: &[(BridgeConfig, Vec<Connection>)],
        device: &Device,
    ) -> Result<Bridges, ComposeError> {
        let bridges = Bridges::init(sets, 0, device)?;
        weights::read(&directory.join(WEIGHTS), bridges, device)
    }
}
