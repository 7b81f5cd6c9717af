//! GGUF files: settings, tokenizer and weights of a model in one file, or in several that are
//! numbered.
//!
//! The reader is our own. candle-core's `gguf_file` brings a second tensor library, whose features
//! change those of Burn's own dependencies (`half`, `gemm`), and keeps the last of keys and tensors
//! that occur twice; its block formats expand into its own tensors only. gguf-rs-lib holds every
//! value as an allocation of its own and expands no block at all. Either would leave what follows from
//! the format to be written here: the names and the settings of each architecture, the blocks in the
//! order of operations of the reference, and the tokenizers. The header itself is 300 lines, in which
//! no count, length or offset is used before it is compared with the size of the file.
//!
//! | file | does |
//! | --- | --- |
//! | `header.rs`, `metadata.rs`, `reader.rs`, `types.rs` | read the header |
//! | `weights.rs` | finds the parts of a model and their tensors |
//! | `architecture.rs` | maps keys and names of each architecture |
//! | `settings.rs`, `rope.rs`, `gemma.rs`, `special.rs` | put metadata in the words of `config.json` |
//! | `tokenizer.rs`, `pre_tokenizer.rs` | put the vocabulary in those of `tokenizer.json` |

mod architecture;
mod error;
mod gemma;
mod header;
mod metadata;
mod pre_tokenizer;
mod reader;
mod rope;
mod settings;
mod special;
mod tokenizer;
mod types;
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use calm_backend::MappedFile;
use serde_json::{Map, Value as Json, json};

use self::architecture::Architecture;
pub use self::error::GgufError;
use self::metadata::Metadata;
use self::weights::Weights;
#[cfg(feature = "hub")]
pub(crate) use self::weights::parts;
use crate::checkpoint::TensorSource;
use crate::{ModelError, Tokenizer};

/// The ending of names of GGUF files.
const EXTENSION: &str = "gguf";

const TEMPLATE: &str = "tokenizer.chat_template";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";

/// Special tokens as chat templates name them, and their keys.
const SPECIAL_TOKENS: [(&str, &str); 7] = [
    ("bos_token", "bos"),
    ("eos_token", "eos"),
    ("unk_token", "unknown"),
    ("sep_token", "seperator"),
    ("pad_token", "padding"),
    ("cls_token", "cls"),
    ("mask_token", "mask"),
];

/// A model in a GGUF file, of whose data nothing is read yet.
#[derive(Debug)]
pub(crate) struct Gguf {
    path: PathBuf,
    metadata: Arc<Metadata<MappedFile>>,
    architecture: &'static Architecture,
    weights: Arc<Weights>,
}

impl Gguf {
    /// Whether a path is that of a file, or, where there is none, of a GGUF file by its name.
    pub(crate) fn is_at(path: &Path) -> bool {
        let extension = path.extension();
        let is_named_so = extension.is_some_and(|name| name.eq_ignore_ascii_case(EXTENSION));
        path.is_file() || is_named_so && !path.is_dir()
    }

    /// Opens a file, and the others of a model in several, of which it may be any.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let opened = weights::open(path)?;
        let metadata = Arc::clone(&opened[0].metadata);
        let invalid = |source| invalid(path, source);
        let key = "general.architecture";
        let name = metadata.text(key).map_err(invalid)?;
        let name = name.ok_or_else(|| invalid(GgufError::key(key, "is missing")))?;
        let experts = metadata.count(&format!("{name}.expert_count"));
        let has_experts = experts.ok().flatten().is_some_and(|count| count > 0);
        let architecture = Architecture::find(name, has_experts).ok_or_else(|| {
            let supported = architecture::ALL
                .iter()
                .map(|architecture| architecture.name);
            let supported: BTreeSet<&str> = supported.collect();
            let supported: Vec<&str> = supported.into_iter().collect();
            invalid(GgufError::key(
                key,
                format!(
                    "is {}, which is not supported; supported are: {}",
                    json!(error::short(name)),
                    supported.join(", ")
                ),
            ))
        })?;
        Ok(Self {
            path: path.to_owned(),
            metadata,
            weights: Arc::new(Weights::new(path, architecture.names, opened)),
            architecture,
        })
    }

    /// The file that was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a `config.json` that says what the file says.
    pub(crate) fn config(&self) -> Result<String, ModelError> {
        settings::read(self)
    }

    /// The tokenizer.
    pub(crate) fn tokenizer(&self) -> Result<Tokenizer, ModelError> {
        tokenizer::read(self)
    }

    /// The tensors.
    pub(crate) fn weights(&self) -> Arc<dyn TensorSource> {
        Arc::<Weights>::clone(&self.weights)
    }

    /// Names and texts of the chat templates, the default one first.
    pub(crate) fn chat_templates(&self) -> Result<Vec<(String, String)>, ModelError> {
        let default = std::iter::once((TEMPLATE, "default"));
        let prefix = format!("{TEMPLATE}.");
        let named = self.metadata.keys().filter_map(|key| {
            let name = key.strip_prefix(&*prefix)?;
            Some((key, name))
        });
        let mut templates: Vec<(String, String)> = Vec::new();
        for (key, name) in default.chain(named) {
            let is_new = templates.iter().all(|(other, _)| other != name);
            if let Some(source) = self.checked(self.metadata.text(key))?
                && is_new
            {
                templates.push((name.to_owned(), source.to_owned()));
            }
        }
        templates.sort_by_key(|(name, _)| name != "default");
        Ok(templates)
    }

    /// Texts of the special tokens that a chat template may name.
    pub(crate) fn special_tokens(&self) -> Result<Map<String, Json>, ModelError> {
        let tokens = self.tokens()?.unwrap_or_default();
        let mut special = Map::new();
        for (name, key) in SPECIAL_TOKENS {
            let id = self.token_id(key)?.and_then(|id| usize::try_from(id).ok());
            if let Some(token) = id.and_then(|id| tokens.get(id)) {
                special.insert(name.to_owned(), json!(token));
            }
        }
        Ok(special)
    }

    /// A token's id, if the file names one. Some write the largest number for none.
    fn token_id(&self, name: &str) -> Result<Option<u64>, ModelError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        if self.metadata.json(&key) == json!(-1) {
            return Ok(None);
        }
        let id = self.checked(self.metadata.count(&key))?;
        Ok(id.filter(|id| *id != u64::from(u32::MAX)))
    }

    fn tokens(&self) -> Result<Option<Vec<&str>>, ModelError> {
        self.checked(self.metadata.texts(TOKENS))
    }

    fn token_types(&self) -> Result<Option<Vec<i64>>, ModelError> {
        self.checked(self.metadata.integers(TOKEN_TYPES))
    }

    fn checked<T>(&self, read: Result<T, GgufError>) -> Result<T, ModelError> {
        read.map_err(|source| self.invalid(source))
    }

    fn invalid(&self, source: GgufError) -> ModelError {
        invalid(&self.path, source)
    }
}

fn invalid(path: &Path, source: GgufError) -> ModelError {
    ModelError::Gguf {
        path: path.to_owned(),
        source: Box::new(source),
    }
}
