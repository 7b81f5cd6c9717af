//! The keys of a `config.json`, each to be asked for once; what nobody asked for is an error.

use std::fmt::Display;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use crate::{ConfigError, ModelError};

/// Keys that do not change what a model computes for given tokens: training, provenance, how
/// `transformers` returns things, and how it used to generate.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "_num_labels",
    "_sliding_window_pattern",
    "activation_dropout",
    "architectures",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "embedding_dropout",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "init_std",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "layerdrop",
    "length_penalty",
    "max_length",
    "max_sequence_length",
    "min_length",
    "model_type",
    "n_ctx",
    "n_special",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "predict_special_tokens",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "resid_pdrop",
    "residual_dropout",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// Keys that any family's file may hold as long as they say what is so anyway.
const NEUTRAL: &[(&str, Value)] = &[
    ("add_cross_attention", Value::Bool(false)),
    ("is_encoder_decoder", Value::Bool(false)),
    ("rope_interleaved", Value::Bool(false)),
    ("tie_encoder_decoder", Value::Bool(false)),
    ("use_bidirectional_attention", Value::Bool(false)),
];

/// The settings of a file, or of a section in it, that nobody has asked for yet.
pub(super) struct Settings<'a> {
    keys: Map<String, Value>,
    /// In front of a key in messages, such as `rope_scaling.`.
    prefix: String,
    path: &'a Path,
}

impl<'a> Settings<'a> {
    pub(super) fn new(keys: Map<String, Value>, path: &'a Path) -> Self {
        Self {
            keys,
            prefix: String::new(),
            path,
        }
    }

    /// Settings that are a section of the file.
    pub(super) fn within(section: &str, keys: Map<String, Value>, path: &'a Path) -> Self {
        Self {
            keys,
            prefix: format!("{section}."),
            path,
        }
    }

    /// What nobody has asked for yet.
    pub(super) fn keys(&self) -> &Map<String, Value> {
        &self.keys
    }

    /// The section's path in the file, such as `rope_scaling`.
    pub(super) fn name(&self) -> String {
        self.prefix.trim_end_matches('.').to_owned()
    }

    /// A value that must be there.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<T, ModelError> {
        match self.keys.remove(key) {
            Some(value) => self.parse(key, value),
            None => Err(self.json_error(serde_json::Error::missing_field(key))),
        }
    }

    /// A value, `default` if it is absent.
    pub(super) fn value<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> Result<T, ModelError> {
        match self.keys.remove(key) {
            Some(value) => self.parse(key, value),
            None => Ok(default),
        }
    }

    /// A value that may be `null` for none; `default` if it is absent.
    pub(super) fn nullable<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        default: Option<T>,
    ) -> Result<Option<T>, ModelError> {
        self.value(key, default)
    }

    /// Takes a key that may only say what is so anyway.
    pub(super) fn neutral(
        &mut self,
        key: &'static str,
        neutral: impl Into<Value>,
    ) -> Result<(), ModelError> {
        let neutral = neutral.into();
        match self.keys.remove(key) {
            Some(found) if !found.is_null() && !is_same(&found, &neutral) => {
                Err(self.unsupported(key, &found, format_args!("only {neutral} is")))
            }
            _ => Ok(()),
        }
    }

    /// A section of settings; none if it is absent, `null` or empty.
    pub(super) fn section(&mut self, key: &'static str) -> Result<Option<Self>, ModelError> {
        let keys = self.nullable::<Map<String, Value>>(key, None)?;
        let keys = keys.filter(|keys| !keys.is_empty());
        Ok(keys.map(|keys| Self {
            keys,
            prefix: format!("{}{key}.", self.prefix),
            path: self.path,
        }))
    }

    /// Fails on the first key that nobody has asked for and that is not known to change nothing.
    pub(super) fn finish(mut self) -> Result<(), ModelError> {
        for (key, neutral) in NEUTRAL {
            self.neutral(key, neutral.clone())?;
        }
        let mut unknown = self
            .keys
            .iter()
            .filter(|(key, value)| !value.is_null() && !HARMLESS.contains(&key.as_str()));
        match unknown.next() {
            Some((key, value)) => {
                let expected = "it is not known, and might change what the model computes";
                Err(self.unsupported(key, value, expected))
            }
            None => Ok(()),
        }
    }

    /// The error for a value that asks for something else than is implemented.
    pub(super) fn unsupported(
        &self,
        key: &str,
        found: &Value,
        expected: impl Display,
    ) -> ModelError {
        ModelError::UnsupportedSetting {
            path: self.path.to_owned(),
            key: format!("{}{}", self.prefix, key.escape_debug()),
            found: found.to_string().chars().take(60).collect(),
            expected: expected.to_string(),
        }
    }

    /// The error for values that make no model.
    pub(super) fn invalid(&self, source: ConfigError) -> ModelError {
        ModelError::InvalidConfig {
            path: self.path.to_owned(),
            source,
        }
    }

    fn parse<T: DeserializeOwned>(&self, key: &str, value: Value) -> Result<T, ModelError> {
        serde_json::from_value(value).map_err(|error| {
            let message = format_args!("{}{key}: {error}", self.prefix);
            self.json_error(serde_json::Error::custom(message))
        })
    }

    fn json_error(&self, source: serde_json::Error) -> ModelError {
        ModelError::Json {
            path: self.path.to_owned(),
            source,
        }
    }
}

/// Whether two values are equal, 1 and 1.0 included.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && a.as_f64() == b.as_f64())
}
