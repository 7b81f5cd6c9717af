//! Families of models: their settings in `config.json`, and the names of their tensors.
//!
//! A family is one small file that reads a `config.json` into a [`DecoderConfig`], writes one, and
//! names the tensors; the rest of the crate knows nothing of it. It is registered below: a line
//! for its module, and one in the table.

mod defaults;
mod experts;
mod facts;
mod keys;
mod llama_like;
mod names;
mod rope;
mod settings;
mod wrappers;

mod bloom;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod mixtral;
mod olmo2;
mod phi3;
mod plain;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod smollm3;
mod stablelm;
mod starcoder2;
mod xglm;

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value, json};

pub(crate) use self::experts::{ExpertNames, ExpertTensors};
pub(crate) use self::names::{Fused, Names, NamesInFile, TensorLocation};
use self::settings::Settings;
use crate::files::from_json;
use crate::{DecoderConfig, ModelError};

/// The enumeration of families and the way to their files, from one list.
macro_rules! families {
    ($($(#[$doc:meta])* $family:ident: $module:ident,)*) => {
        /// A family of models.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Family {
            $($(#[$doc])* $family,)*
        }

        impl Family {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$family),*];

            fn spec(self) -> &'static FamilySpec {
                match self {
                    $(Self::$family => &$module::SPEC,)*
                }
            }
        }
    };
}

families! {
    /// Llama 1 to 3 and everything shaped like them.
    Llama: llama,
    /// Mistral 7B and its like: Llama with a sliding window.
    Mistral: mistral,
    /// Mixtral: Mistral with experts.
    Mixtral: mixtral,
    /// Qwen 2 and 2.5.
    Qwen2: qwen2,
    /// Qwen 3, dense.
    Qwen3: qwen3,
    /// Qwen 1.5 and 2 with experts.
    Qwen2Moe: qwen2_moe,
    /// Qwen 3 with experts.
    Qwen3Moe: qwen3_moe,
    /// SmolLM3.
    SmolLm3: smollm3,
    /// Gemma, the first.
    Gemma: gemma,
    /// Gemma 2.
    Gemma2: gemma2,
    /// Gemma 3: its text model, alone or within the one that sees images.
    Gemma3: gemma3,
    /// OLMo 2.
    Olmo2: olmo2,
    /// Granite 3, dense.
    Granite: granite,
    /// Phi 3, 3.5 and 4.
    Phi3: phi3,
    /// GPT-2.
    Gpt2: gpt2,
    /// GPT-NeoX and Pythia.
    GptNeox: gpt_neox,
    /// `StarCoder` 2.
    Starcoder2: starcoder2,
    /// `StableLM`, the first and the second.
    StableLm: stablelm,
    /// BLOOM.
    Bloom: bloom,
    /// Falcon, the first and the second.
    Falcon: falcon,
    /// XGLM.
    Xglm: xglm,
}

/// Treatment of settings that might change the numbers, and that are not implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// They are errors.
    #[default]
    Strict,
    /// They are warnings, for who knows that they mean nothing. So are tensors without a place.
    Lenient,
}

impl Strictness {
    /// The end of a message about what leniency lets pass.
    pub(crate) const WAY_OUT: &'static str =
        "remove it if it means nothing here, or pass it over with --lenient";

    /// [`Self::Lenient`] if so.
    pub fn lenient(is_lenient: bool) -> Self {
        match is_lenient {
            true => Self::Lenient,
            false => Self::Strict,
        }
    }
}

/// Settings and tensors in the checkpoints of a family.
struct FamilySpec {
    /// `model_type` in config.json.
    model_type: &'static str,
    /// The class in `transformers`.
    architecture: &'static str,
    /// Resolves the settings, to the last key.
    read: fn(&mut Settings<'_>) -> Result<DecoderConfig, ModelError>,
    /// Settings that `read` reads the same description from.
    write: fn(&DecoderConfig) -> Map<String, Value>,
    names: &'static Names,
}

impl Family {
    /// The `model_type` in config.json.
    pub fn name(self) -> &'static str {
        self.spec().model_type
    }

    /// Reads a `config.json`; `path` is for messages. Settings that nobody knows are a warning, unless
    /// they might change the numbers.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if it is not JSON, of another family, or holds a setting that is unsupported
    /// or impossible.
    pub fn read(
        json: &str,
        path: &Path,
        strictness: Strictness,
    ) -> Result<DecoderConfig, ModelError> {
        let keys: Map<String, Value> = from_json(json, path)?;
        let mut settings = match wrappers::text_settings(&keys) {
            Some(text) => Settings::within(wrappers::SECTION, text, path, strictness),
            None => Settings::new(keys, path, strictness),
        };
        let family = Self::of(settings.keys());
        let family = family.ok_or_else(|| unsupported(settings.keys(), path))?;
        let config = (family.spec().read)(&mut settings)?;
        config
            .validate()
            .map_err(|source| settings.invalid(source))?;
        settings.finish_file(&config)?;
        Ok(config)
    }

    fn of(keys: &Map<String, Value>) -> Option<Self> {
        let name = keys.get("model_type")?.as_str()?;
        Self::ALL
            .iter()
            .copied()
            .find(|family| family.name() == name)
    }

    /// The settings for config.json; `dtype` is the type that the weights are stored in.
    pub(crate) fn write(config: &DecoderConfig, dtype: &str) -> Map<String, Value> {
        let spec = config.family.spec();
        let mut settings = Map::new();
        settings.insert("architectures".to_owned(), json!([spec.architecture]));
        settings.insert("model_type".to_owned(), json!(spec.model_type));
        settings.append(&mut (spec.write)(config));
        settings.insert("bos_token_id".to_owned(), json!(config.special.bos));
        settings.insert("eos_token_id".to_owned(), config.special.eos_json());
        settings.insert("pad_token_id".to_owned(), json!(config.special.pad));
        settings.insert("dtype".to_owned(), json!(dtype));
        settings
    }

    /// Names of tensors.
    pub(crate) fn names(self) -> &'static Names {
        self.spec().names
    }
}

fn unsupported(keys: &Map<String, Value>, path: &Path) -> ModelError {
    let family = keys.get("model_type").and_then(Value::as_str);
    let families = Family::ALL.iter().map(|family| family.name());
    let supported: Vec<&str> = families.chain(wrappers::names()).collect();
    ModelError::UnsupportedFamily {
        path: path.to_owned(),
        family: family.map_or_else(
            || "(config.json has no model_type)".to_owned(),
            |family| family.escape_debug().to_string(),
        ),
        supported: supported.join(", "),
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
