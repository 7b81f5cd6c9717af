//! A composition on disk: a directory with `composition.json` and `bridge.safetensors`.
//!
//! Only what was trained is stored. The frozen models are named by the SHA-256 of their weights,
//! and loading against other weights is an error. Bridge weights are stored (out, in), as torch
//! does, under `a{m}.c{n}.{proj.weight,proj.bias,q.weight,k.weight,v.weight,o.weight}`; Python
//! opens them with `safetensors.torch.load_file`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{io, read_bytes};
use crate::tensors::NamedTensors;
use crate::{Bridge, Bridges, ComposeError, Connection, FrozenParts};

const FORMAT_VERSION: u32 = 1;
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
    /// SHA-256 of its weight files.
    pub weights_sha256: String,
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
    /// How the bridges were trained: settings, data, versions.
    pub training: Value,
}

impl CompositionFile {
    /// Describes a composition in the current format.
    pub fn new(
        anchor: ModelReference,
        augmenting: Vec<ModelReference>,
        connections: Vec<Vec<Connection>>,
        heads: usize,
        training: Value,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            anchor,
            augmenting,
            connections,
            heads,
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
            Some(version) if version == u64::from(FORMAT_VERSION) => {}
            found => {
                return Err(malformed(format!(
                    "format_version is {}, this program reads {FORMAT_VERSION}",
                    found.map_or("missing".to_owned(), |version| version.to_string())
                )));
            }
        }
        let file: Self =
            serde_json::from_value(value).map_err(|error| malformed(error.to_string()))?;
        if file.connections.len() != file.augmenting.len() {
            return Err(malformed(
                "`connections` and `augmenting` differ in length".to_owned(),
            ));
        }
        Ok(file)
    }

    /// Checks by the SHA-256 of their weights that frozen models are those that the composition
    /// was trained over.
    ///
    /// # Errors
    ///
    /// [`ComposeError::AugmentingCount`] if they are more or fewer, [`ComposeError::OtherWeights`]
    /// with both hashes of the first that is another.
    pub fn check_models(
        &self,
        directory: &Path,
        anchor: &str,
        augmenting: &[&str],
    ) -> Result<(), ComposeError> {
        if augmenting.len() != self.augmenting.len() {
            return Err(ComposeError::AugmentingCount {
                expected: self.augmenting.len(),
                found: augmenting.len(),
            });
        }
        self.check_weights(directory, "anchor", &self.anchor, anchor)?;
        for (index, (expected, found)) in self.augmenting.iter().zip(augmenting).enumerate() {
            let role = format!("augmenting model {index}");
            self.check_weights(directory, &role, expected, found)?;
        }
        Ok(())
    }

    fn check_weights(
        &self,
        directory: &Path,
        role: &str,
        expected: &ModelReference,
        found: &str,
    ) -> Result<(), ComposeError> {
        if expected.weights_sha256 == found {
            return Ok(());
        }
        Err(ComposeError::OtherWeights {
            path: directory.join(DESCRIPTION),
            role: role.to_owned(),
            expected: expected.weights_sha256.clone(),
            found: found.to_owned(),
        })
    }

    /// Writes description and bridges. Each file appears whole or not at all, the description,
    /// without which a directory is no composition, last.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Io`] naming the file that could not be written.
    pub fn write(&self, directory: &Path, bridges: &Bridges) -> Result<(), ComposeError> {
        self.write_files(directory, &serialize(bridges))
    }

    /// [`CompositionFile::write`] of bridges as their file has them.
    pub(crate) fn write_files(&self, directory: &Path, weights: &[u8]) -> Result<(), ComposeError> {
        fs::create_dir_all(directory).map_err(io(directory))?;
        write_atomically(&directory.join(WEIGHTS), weights)?;
        let mut text = serde_json::to_vec_pretty(self).expect("a description is plain data");
        text.push(b'\n');
        write_atomically(&directory.join(DESCRIPTION), &text)
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
        let bridges = Bridges::init(&parts.bridge_sets(self.heads), 0, device)?;
        read_tensors(&directory.join(WEIGHTS), bridges, device)
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
            for (part, linear) in parts_mut(bridge) {
                take_linear(tensors, &format!("a{m}.c{n}.{part}"), linear, device);
            }
        }
    }
    bridges
}

fn take_linear(tensors: &mut NamedTensors<'_>, name: &str, linear: &mut Linear, device: &Device) {
    let [d_input, d_output] = linear.weight.shape().dims();
    if let Some(data) = tensors.take_f32(&format!("{name}.weight"), &[d_output, d_input]) {
        let weight = Tensor::<2>::from_data(data, device).transpose();
        linear.weight = Param::from_tensor(weight);
    }
    if let Some(bias) = &mut linear.bias
        && let Some(data) = tensors.take_f32(&format!("{name}.bias"), &[d_output])
    {
        *bias = Param::from_tensor(Tensor::from_data(data, device));
    }
}

fn serialize(bridges: &Bridges) -> Vec<u8> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, tensor) in bridges.named_parameters() {
        let shape = tensor.shape().to_vec();
        let data = tensor.convert_dtype(DType::F32);
        tensors.push((name, shape, data.as_bytes().to_vec()));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (
            name.clone(),
            view.expect("bytes and shape of one tensor agree"),
        )
    });
    safetensors::serialize(views, None).expect("names are distinct and tensors are whole")
}

/// The projections of a bridge under the names that files give them.
fn parts_mut(bridge: &mut Bridge) -> [(&'static str, &mut Linear); 5] {
    [
        ("proj", &mut bridge.projection),
        ("q", &mut bridge.query),
        ("k", &mut bridge.key),
        ("v", &mut bridge.value),
        ("o", &mut bridge.output),
    ]
}

/// Writes a file whole or not at all: a temporary sibling, fsync, rename.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), ComposeError> {
    let temporary = path.with_extension("tmp");
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        io(path)(source)
    })
}
