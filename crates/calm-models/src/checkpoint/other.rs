//! Directories that hold something else than weights that can be loaded, named so that the reader
//! knows how to go on.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::safetensors::ShardName;
use crate::files::{CONFIG, MAX_CONFIG_BYTES, file_names_in, from_json, is_there, read_text};

/// Settings of a LoRA adapter of the library PEFT.
pub(crate) const ADAPTER_CONFIG: &str = "adapter_config.json";

/// Settings of a model in Mistral's own layout.
const MISTRAL_CONFIG: &str = "params.json";

/// Endings of weights in other formats than safetensors.
const OTHER_FORMATS: [&str; 5] = [".bin", ".h5", ".msgpack", ".pth", ".pt"];

/// Something else than a model's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherWeights {
    /// A low-rank adapter, which is no model without its base.
    Adapter {
        /// The model that it adapts, if its settings say so.
        base: Option<String>,
    },
    /// A model in Mistral's own layout, whose tensors have other names.
    Mistral,
    /// Shards, one of which is not there.
    Shards {
        /// Its name.
        missing: String,
    },
    /// A safetensors file of another name.
    Renamed {
        /// Its name.
        name: String,
    },
    /// Weights in a format that is not read.
    Format {
        /// The name of one file.
        name: String,
    },
}

impl OtherWeights {
    /// The first thing in `dir` that could have been meant.
    pub(crate) fn find(dir: &Path) -> Option<Self> {
        if let Some(adapter) = Self::adapter(dir) {
            return Some(adapter);
        }
        let names = file_names_in(dir);
        if let Some(missing) = ShardName::missing_of(&names) {
            return Some(Self::Shards { missing });
        }
        let ends = |end: &&str| names.iter().find(|name| name.ends_with(*end)).cloned();
        let is_mistral = |name: &String| name.starts_with("consolidated");
        if names.iter().any(|name| name == MISTRAL_CONFIG) || names.iter().any(is_mistral) {
            return Some(Self::Mistral);
        }
        let renamed = ends(&".safetensors").map(|name| Self::Renamed { name });
        let format = || OTHER_FORMATS.iter().find_map(ends);
        renamed.or_else(|| format().map(|name| Self::Format { name }))
    }

    /// A model's substitute in a directory without `config.json`: an adapter, or Mistral's own layout.
    pub fn without_config(dir: &Path) -> Option<Self> {
        if is_there(&dir.join(CONFIG)) {
            return None;
        }
        let is_mistral = is_there(&dir.join(MISTRAL_CONFIG));
        Self::adapter(dir).or_else(|| is_mistral.then_some(Self::Mistral))
    }

    /// The adapter whose settings are in `dir`.
    pub(crate) fn adapter(dir: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct Adapter {
            base_model_name_or_path: Option<String>,
        }

        let path = dir.join(ADAPTER_CONFIG);
        let text = is_there(&path).then(|| read_text(&path, MAX_CONFIG_BYTES))?;
        let adapter = text.and_then(|text| from_json::<Adapter>(&text, &path));
        let base = adapter
            .ok()
            .and_then(|adapter| adapter.base_model_name_or_path);
        Some(Self::Adapter { base })
    }
}

impl fmt::Display for OtherWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter { base } => {
                let base = base.as_ref().filter(|base| !base.is_empty());
                let base = base.map_or_else(
                    || "a model that it does not name".to_owned(),
                    |base| base.escape_debug().to_string(),
                );
                write!(
                    f,
                    "an adapter of {base}, no model of its own; merge it into that model (with \
                     PEFT: merge_and_unload, then save_pretrained), and give the result"
                )
            }
            Self::Mistral => f.write_str(
                "a model in Mistral's own layout; give its repository in the Hugging Face layout, \
                 or convert it with the script convert_mistral_weights_to_hf.py of transformers",
            ),
            Self::Shards { missing } => {
                write!(f, "shards without {missing}; fetch the model again")
            }
            Self::Renamed { name } => write!(
                f,
                "{}; call it model.safetensors if it holds the whole model",
                name.escape_debug()
            ),
            Self::Format { name } => write!(
                f,
                "{}; convert it with transformers: load the model, and save_pretrained writes \
                 safetensors",
                name.escape_debug()
            ),
        }
    }
}
