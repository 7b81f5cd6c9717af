//! A loaded checkpoint: decoder, tokenizer and special ids.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use burn::tensor::Device;
use calm_backend::{ComputeType, FloatType};
use serde_json::{Value, json};

use crate::chat::{MORE_TEMPLATES, PROCESSOR_FILE, TEMPLATE_FILE, more_templates};
use crate::checkpoint::{self, TensorSource};
use crate::config::SpecialIds;
use crate::files::{CONFIG, TOKENIZER, is_there, read_text};
use crate::stored::{GENERATION_CONFIG, StoredModel};
use crate::tokenizer::side_files::{self, ADDED_TOKENS, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};
use crate::{Decoder, DecoderConfig, Family, ModelError, Strictness, Tokenizer};

const WEIGHTS: &str = "model.safetensors";

/// Files beside a tokenizer, in the order in which they are written.
const BESIDE_TOKENIZER: [&str; 5] = [
    TEMPLATE_FILE,
    PROCESSOR_FILE,
    ADDED_TOKENS,
    SPECIAL_TOKENS_MAP,
    TOKENIZER_CONFIG,
];

/// Device and compute type of a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The device of the weights; one without autodiff for a model that stays frozen.
    pub device: Device,
    /// The compute type: weights are converted to it, whatever type they are stored in.
    pub dtype: ComputeType,
    /// Whether to load numbers that are not finite in that type, rather than refuse them.
    pub allow_not_finite: bool,
    /// Treatment of settings and tensors that might change the numbers, and that are not implemented.
    pub strictness: Strictness,
}

impl LoadOptions {
    /// The compute type of a model that is stored as `stored`.
    ///
    /// # Errors
    ///
    /// [`ModelError::UnsupportedType`] if the device does not compute in it.
    pub fn resolve(&self, stored: FloatType) -> Result<FloatType, ModelError> {
        let dtype = self.dtype.resolve(stored, &self.device);
        match dtype.is_supported_by(&self.device) {
            true => Ok(dtype),
            false => Err(ModelError::UnsupportedType { dtype }),
        }
    }
}

impl Decoder {
    /// Loads settings and weights of a directory in the Hugging Face layout, or of a GGUF file,
    /// whether or not there is a tokenizer.
    ///
    /// # Errors
    ///
    /// As [`FrozenModel::load`].
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ModelError> {
        let stored = StoredModel::open(path)?;
        let config = stored.config(options.strictness)?;
        let (decoder, _) = load_weights(&stored, config, options)?;
        Ok(decoder)
    }
}

fn load_weights(
    stored: &StoredModel,
    config: DecoderConfig,
    options: &LoadOptions,
) -> Result<(Decoder, Arc<dyn TensorSource>), ModelError> {
    let source = stored.weights()?;
    let config = checkpoint::settle_head(&*source, config)?;
    let decoder = checkpoint::load(&*source, &config, options)?;
    let (path, dtype) = (source.path().display(), decoder.compute_type());
    tracing::debug!(%path, %dtype, "loaded a checkpoint");
    Ok((decoder, source))
}

/// A model with all that is needed to use it.
///
/// Whoever changes the decoder makes a new one with [`FrozenModel::new`]: the hash of the weights
/// is that of the decoder that the model was made with.
#[derive(Debug, Clone)]
pub struct FrozenModel {
    /// The transformer.
    pub decoder: Decoder,
    /// Text to ids and back.
    pub tokenizer: Tokenizer,
    /// Ids with a meaning, of generation_config.json where there is one, else of config.json.
    pub special: SpecialIds,
    source: Source,
}

/// Files of the weights, and the hash once it was asked for.
#[derive(Debug, Clone)]
struct Source {
    /// The model as it is stored, and its tensors, if it was loaded.
    files: Option<(StoredModel, Arc<dyn TensorSource>)>,
    sha256: Arc<OnceLock<String>>,
}

impl Source {
    fn new(files: Option<(StoredModel, Arc<dyn TensorSource>)>) -> Self {
        Self {
            files,
            sha256: Arc::default(),
        }
    }
}

impl FrozenModel {
    /// Loads a directory in the Hugging Face layout, or a GGUF file, of a model in several any.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a file is missing or damaged, the family or a setting is not supported,
    /// or the weights are not those that the settings ask for.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, ModelError> {
        let stored = StoredModel::open(path)?;
        let config = stored.config(options.strictness)?;
        let special = stored.special_ids(&config)?;
        let tokenizer = stored.tokenizer(&config)?;
        let (decoder, files) = load_weights(&stored, config, options)?;
        Ok(Self {
            decoder,
            tokenizer,
            special,
            source: Source::new(Some((stored, files))),
        })
    }

    /// A model out of parts, such as one that was just trained.
    pub fn new(decoder: Decoder, tokenizer: Tokenizer) -> Self {
        let special = decoder.config().special.clone();
        let tokenizer = tokenizer.for_embeddings(decoder.config().vocab_size);
        Self {
            decoder,
            tokenizer,
            special,
            source: Source::new(None),
        }
    }

    /// The same tokenizer, with the files that lie beside it, and other weights of the same
    /// architecture, such as those that training has made of the model's own.
    pub fn with_decoder(&self, decoder: Decoder) -> Self {
        let sha256 = OnceLock::from(checkpoint::sha256_of_memory(&decoder));
        let source = Source {
            files: self.source.files.clone(),
            sha256: Arc::new(sha256),
        };
        Self {
            decoder,
            source,
            ..self.clone()
        }
    }

    /// The same architecture and tokenizer with untrained weights (see [`Decoder::untrained`]).
    pub fn random_init_like(&self, seed: u64) -> Self {
        let decoder = Decoder::untrained(self.config(), seed, &self.decoder.device());
        let special = self.special.clone();
        Self {
            decoder,
            tokenizer: self.tokenizer.clone(),
            special,
            source: Source::new(None),
        }
    }

    /// The decoder's description.
    pub fn config(&self) -> &DecoderConfig {
        self.decoder.config()
    }

    /// SHA-256 of the weights in hexadecimal.
    ///
    /// Of a checkpoint with one weight file it is that file's; of several, that of the lines that
    /// `sha256sum` prints for them in the order of their names. Of a model that was not loaded it
    /// is the hash of the file that [`FrozenModel::save`] would write in `f32`.
    ///
    /// # Errors
    ///
    /// [`ModelError::Io`] if a file can't be read any more.
    pub fn weights_sha256(&self) -> Result<&str, ModelError> {
        if let Some(known) = self.source.sha256.get() {
            return Ok(known);
        }
        let computed = match &self.source.files {
            Some((_, tensors)) => tensors.sha256()?,
            None => checkpoint::sha256_of_memory(&self.decoder),
        };
        Ok(self.source.sha256.get_or_init(|| computed))
    }

    /// Writes a directory that [`FrozenModel::load`] and `transformers` open, the weights stored
    /// as `dtype`. What lay beside the tokenizer of a model that was loaded, its chat template too,
    /// lies there again.
    ///
    /// The files appear complete or not at all: they are written to a directory beside `dir`,
    /// which is then renamed, or, if `dir` exists, whose files are moved into it one by one.
    ///
    /// # Errors
    ///
    /// [`ModelError::Io`] if something can't be written, [`ModelError::Inexpressible`] if the family
    /// has no settings for what the decoder is.
    pub fn save(&self, dir: &Path, dtype: FloatType) -> Result<(), ModelError> {
        let as_io = |source| ModelError::Io {
            path: dir.to_owned(),
            source,
        };
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("/"),
        };
        let config = self.config_json(dir, dtype)?;
        fs::create_dir_all(parent).map_err(as_io)?;
        let staging = tempfile::Builder::new()
            .prefix(".saving-")
            .tempdir_in(parent)
            .map_err(as_io)?;
        calm_files::write(staging.path().join(CONFIG), config)?;
        calm_files::write(
            staging.path().join(GENERATION_CONFIG),
            pretty(&self.generation_config()),
        )?;
        calm_files::write(staging.path().join(TOKENIZER), self.tokenizer.json())?;
        self.write_beside_tokenizer(staging.path())?;
        let path = staging.path().join(WEIGHTS);
        checkpoint::write(&self.decoder, dtype, &path)?;
        // The safetensors crate makes files that only their owner may read.
        let readable = fs::metadata(staging.path().join(CONFIG))
            .map_err(as_io)?
            .permissions();
        fs::set_permissions(&path, readable).map_err(as_io)?;
        publish(staging, dir)
    }

    /// Checks what [`FrozenModel::save`] may find out after hours of training: that the settings of
    /// the family can express this decoder.
    ///
    /// # Errors
    ///
    /// [`ModelError::Inexpressible`] if they cannot.
    pub fn check_saved(&self, dir: &Path, dtype: FloatType) -> Result<(), ModelError> {
        self.config_json(dir, dtype).map(drop)
    }

    /// The text of config.json, once it is sure to be read the same.
    fn config_json(&self, dir: &Path, dtype: FloatType) -> Result<String, ModelError> {
        let path = dir.join(CONFIG);
        let settings = Family::write(self.config(), torch_name(dtype));
        let text = pretty(&Value::Object(settings));
        if Family::read(&text, &path, Strictness::Strict)? == *self.config() {
            return Ok(text);
        }
        let family = self.config().family;
        Err(ModelError::Inexpressible { path, family })
    }

    /// The files that lie beside the tokenizer of the checkpoint that this model was loaded from. If
    /// there are none, `tokenizer_config.json` says that tokenizer.json is all: `transformers` would
    /// build the tokenizer that is usual for the family.
    fn write_beside_tokenizer(&self, dir: &Path) -> Result<(), ModelError> {
        let stored = self.source.files.as_ref().map(|(stored, _)| stored);
        match stored {
            Some(StoredModel::Directory(from)) => {
                for name in beside_tokenizer(from) {
                    let text = read_text(&from.join(&name), side_files::MAX_BYTES)?;
                    write_in_folder(&dir.join(name), &text)?;
                }
            }
            Some(StoredModel::Gguf(gguf)) => {
                for (name, template) in gguf.chat_templates()? {
                    if let Some(path) = template_path(&name) {
                        write_in_folder(&dir.join(path), &template)?;
                    }
                }
            }
            None => {}
        }
        let path = dir.join(TOKENIZER_CONFIG);
        if is_there(&path) {
            return Ok(());
        }
        Ok(calm_files::write(&path, pretty(&self.tokenizer_config()))?)
    }

    /// Names special tokens only: a token that is named here becomes special when it is read.
    fn tokenizer_config(&self) -> Value {
        let special = |id: &u32| self.tokenizer.is_special(*id);
        let token = |id: Option<u32>| id.filter(special).and_then(|id| self.tokenizer.token(id));
        json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": token(self.special.bos),
            "eos_token": token(self.special.eos.first().copied()),
            "pad_token": token(self.special.pad),
            "model_max_length": self.config().context_length,
            "clean_up_tokenization_spaces": false,
        })
    }

    fn generation_config(&self) -> Value {
        json!({
            "bos_token_id": self.special.bos,
            "eos_token_id": self.special.eos_json(),
            "pad_token_id": self.special.pad,
        })
    }
}

/// Names of the files beside a tokenizer that are in a directory.
fn beside_tokenizer(dir: &Path) -> Vec<PathBuf> {
    let fixed = BESIDE_TOKENIZER.iter().map(PathBuf::from);
    let more = more_templates(dir).into_iter();
    let more = more.filter_map(|path| Some(Path::new(MORE_TEMPLATES).join(path.file_name()?)));
    fixed
        .chain(more)
        .filter(|name| is_there(&dir.join(name)))
        .collect()
}

/// The place of a chat template of a GGUF file; none for a name that would lead elsewhere.
fn template_path(name: &str) -> Option<PathBuf> {
    let is_plain = |c: char| c.is_alphanumeric() || "-_".contains(c);
    match name {
        "default" => Some(TEMPLATE_FILE.into()),
        name if name.chars().all(is_plain) => {
            Some(Path::new(MORE_TEMPLATES).join(format!("{name}.jinja")))
        }
        _ => None,
    }
}

fn write_in_folder(path: &Path, text: &str) -> Result<(), ModelError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(|source| ModelError::Io {
        path: folder.to_owned(),
        source,
    })?;
    Ok(calm_files::write(path, text)?)
}

/// Renames a finished directory, or moves its files into one that exists.
fn publish(staging: tempfile::TempDir, dir: &Path) -> Result<(), ModelError> {
    let as_io = |source| ModelError::Io {
        path: dir.to_owned(),
        source,
    };
    if dir.exists() {
        let last = [TOKENIZER, GENERATION_CONFIG, CONFIG, WEIGHTS].map(PathBuf::from);
        for name in beside_tokenizer(staging.path()).into_iter().chain(last) {
            let to = dir.join(&name);
            fs::create_dir_all(to.parent().unwrap_or(dir)).map_err(as_io)?;
            fs::rename(staging.path().join(&name), to).map_err(as_io)?;
        }
        return Ok(calm_files::sync_directory(dir)?);
    }
    fs::rename(staging.path(), dir).map_err(as_io)?;
    // What was renamed must not be removed when the guard goes.
    let _ = staging.keep();
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => Ok(calm_files::sync_directory(parent)?),
        _ => Ok(()),
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The type's name in PyTorch.
fn torch_name(dtype: FloatType) -> &'static str {
    match dtype {
        FloatType::F32 => "float32",
        FloatType::F16 => "float16",
        FloatType::BF16 => "bfloat16",
    }
}
