//! A model as it is stored: a directory in the Hugging Face layout, or a GGUF file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::checkpoint::{self, Gguf, OtherWeights, TensorSource};
use crate::config::{NamedIds, SpecialIds};
use crate::files::{CONFIG, MAX_CONFIG_BYTES, from_json, is_there, read_text};
use crate::{DecoderConfig, Family, ModelError, Strictness, Tokenizer, warn};

pub(crate) const GENERATION_CONFIG: &str = "generation_config.json";

/// A model on this machine, of whose weights nothing is read yet.
#[derive(Debug, Clone)]
pub(crate) enum StoredModel {
    /// A directory in the Hugging Face layout.
    Directory(PathBuf),
    /// A GGUF file.
    Gguf(Arc<Gguf>),
}

impl StoredModel {
    /// Opens what is at `path`: a file is one in the GGUF format.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        if Gguf::is_at(path) {
            return Ok(Self::Gguf(Arc::new(Gguf::open(path)?)));
        }
        Ok(Self::Directory(path.to_owned()))
    }

    /// The decoder's description.
    pub(crate) fn config(&self, strictness: Strictness) -> Result<DecoderConfig, ModelError> {
        match self {
            Self::Directory(dir) => {
                if let Some(found) = OtherWeights::without_config(dir) {
                    let dir = dir.clone();
                    return Err(ModelError::NoModel { dir, found });
                }
                let path = dir.join(CONFIG);
                Family::read(&read_text(&path, MAX_CONFIG_BYTES)?, &path, strictness)
            }
            Self::Gguf(gguf) => Family::read(&gguf.config()?, gguf.path(), strictness),
        }
    }

    /// Ids with a meaning: of `generation_config.json` where it names them, else those of the
    /// settings.
    pub(crate) fn special_ids(&self, config: &DecoderConfig) -> Result<SpecialIds, ModelError> {
        match self {
            Self::Directory(dir) => special_ids(dir, config),
            Self::Gguf(_) => Ok(config.special.clone()),
        }
    }

    /// The tokenizer. Tokens without an embedding do no harm as long as no text holds them.
    pub(crate) fn tokenizer(&self, config: &DecoderConfig) -> Result<Tokenizer, ModelError> {
        let (tokenizer, path) = match self {
            Self::Directory(dir) => (Tokenizer::of_checkpoint(dir)?, dir.as_path()),
            Self::Gguf(gguf) => (gguf.tokenizer()?, gguf.path()),
        };
        let tokenizer = tokenizer.for_embeddings(config.vocab_size);
        if !tokenizer.is_embedded() {
            warn::once(format!(
                "{}: the tokenizer has more tokens than the model has embeddings ({}); texts that hold \
                 one of the others are refused",
                path.display(),
                config.vocab_size
            ));
        }
        Ok(tokenizer)
    }

    /// The tensors.
    pub(crate) fn weights(&self) -> Result<Arc<dyn TensorSource>, ModelError> {
        match self {
            Self::Directory(dir) => checkpoint::open(dir),
            Self::Gguf(gguf) => Ok(gguf.weights()),
        }
    }
}

/// The ids of generation_config.json, else of config.json. Like `transformers`, where there is a
/// generation_config.json it alone tells what ends a text.
fn special_ids(dir: &Path, config: &DecoderConfig) -> Result<SpecialIds, ModelError> {
    let path = dir.join(GENERATION_CONFIG);
    let of_model = config.special.clone();
    if !is_there(&path) {
        return Ok(of_model);
    }
    let text = read_text(&path, MAX_CONFIG_BYTES)?;
    let generation: Map<String, Value> = from_json(&text, &path)?;
    let named = |key| generation.get(key).unwrap_or(&Value::Null);
    let ids = |key| NamedIds::read(named(key), config.vocab_size, key, &path);
    if named("eos_token_id").is_null() && !of_model.eos.is_empty() {
        warn::once(format!(
            "{}: names no eos_token_id, so that nothing ends a text, as in transformers; take that \
             of config.json over if it should",
            path.display()
        ));
    }
    Ok(SpecialIds {
        bos: ids("bos_token_id")?.first().copied().or(of_model.bos),
        eos: ids("eos_token_id")?,
        pad: ids("pad_token_id")?.first().copied().or(of_model.pad),
    })
}
