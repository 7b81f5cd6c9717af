//! Families of models: how each spells its settings and names its tensors.
//!
//! A family is one file that reads a `config.json` into a [`DecoderConfig`], writes one, and names
//! the tensors; the rest of the crate knows nothing of it.

mod llama;

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::decoder::Slot;
use crate::{DecoderConfig, ModelError};

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// Llama 1 to 3 and everything shaped like them.
    Llama,
}

/// The `model_type` of every family supported.
const SUPPORTED: &str = "llama";

impl Family {
    /// The `model_type` in config.json.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
        }
    }

    /// Reads a `config.json`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it is not JSON, of another family, or holds a setting that is unknown,
    /// unsupported or impossible.
    pub fn read(json: &str, path: &Path) -> Result<DecoderConfig, ModelError> {
        let as_json = |source| ModelError::Json {
            path: path.to_owned(),
            source,
        };
        let settings: Map<String, Value> = serde_json::from_str(json).map_err(as_json)?;
        let config = match settings.get("model_type").and_then(Value::as_str) {
            Some("llama") => llama::read(settings, path)?,
            other => {
                return Err(ModelError::UnsupportedFamily {
                    path: path.to_owned(),
                    family: other
                        .unwrap_or("(config.json has no model_type)")
                        .to_owned(),
                    supported: SUPPORTED,
                });
            }
        };
        config
            .validate()
            .map_err(|source| ModelError::InvalidConfig {
                path: path.to_owned(),
                source,
            })?;
        Ok(config)
    }

    /// The settings for config.json; `dtype` is the type that the weights are stored in.
    pub(crate) fn write(config: &DecoderConfig, dtype: &str) -> Map<String, Value> {
        match config.family {
            Self::Llama => llama::write(config, dtype),
        }
    }

    /// The tensor's name in a checkpoint, without `.weight` or `.bias`.
    pub(crate) fn tensor_name(self, slot: Slot) -> String {
        match self {
            Self::Llama => llama::tensor_name(slot),
        }
    }

    /// Whether a tensor that the decoder has no place for may be passed over.
    pub(crate) fn is_harmless(self, name: &str, config: &DecoderConfig) -> bool {
        match self {
            Self::Llama => llama::is_harmless(name, config),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
