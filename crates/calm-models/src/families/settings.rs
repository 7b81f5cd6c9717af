//! The keys of a `config.json`, each to be asked for once; what nobody asked for is judged by its
//! name and value.

use std::fmt::Display;
use std::path::Path;

use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Map, Value};

use super::keys::{self, Meaning, is_same};
use super::{Strictness, facts};
use crate::config::NamedIds;
use crate::{ConfigError, DecoderConfig, ModelError, warn};

/// Sections that tell how weights are packed: those of `transformers`, of MLX, and of
/// compressed-tensors.
const QUANTISATION: [&str; 3] = ["quantization_config", "quantization", "compression_config"];

/// A warning names so many keys, and counts the others.
const NAMED_KEYS: usize = 10;

/// The settings of a file, or of a section in it, that nobody has asked for yet.
pub(super) struct Settings<'a> {
    keys: Map<String, Value>,
    /// In front of a key in messages, such as `rope_scaling.`.
    prefix: String,
    path: &'a Path,
    strictness: Strictness,
}

impl<'a> Settings<'a> {
    pub(super) fn new(keys: Map<String, Value>, path: &'a Path, strictness: Strictness) -> Self {
        Self {
            keys,
            prefix: String::new(),
            path,
            strictness,
        }
    }

    /// Settings that are a section of the file.
    pub(super) fn within(
        section: &str,
        keys: Map<String, Value>,
        path: &'a Path,
        strictness: Strictness,
    ) -> Self {
        Self {
            keys,
            prefix: format!("{section}."),
            path,
            strictness,
        }
    }

    /// The keys that nobody has asked for yet.
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

    /// A value, `default` if it is absent or `null`.
    pub(super) fn value<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        default: T,
    ) -> Result<T, ModelError> {
        match self.keys.remove(key).filter(|value| !value.is_null()) {
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
        match self.keys.remove(key) {
            Some(value) => self.parse(key, value),
            None => Ok(default),
        }
    }

    /// Token ids; `default` if the key is absent. Ids that no token has are left out, with a warning.
    pub(super) fn ids(
        &mut self,
        key: &'static str,
        vocab_size: usize,
        default: Option<u32>,
    ) -> Result<Vec<u32>, ModelError> {
        match self.keys.remove(key) {
            Some(value) => NamedIds::read(&value, vocab_size, key, self.path),
            // A default that no token has is no default.
            None => Ok(Vec::from_iter(
                default.filter(|id| (*id as usize) < vocab_size),
            )),
        }
    }

    /// Has one value of a section's keys count as another.
    pub(super) fn rename_value(&mut self, section: &str, keys: &[&str], from: &str, to: &str) {
        for key in keys {
            let section = self.keys.get_mut(section).and_then(Value::as_object_mut);
            let value = section.and_then(|section| section.get_mut(*key));
            if let Some(value) = value.filter(|value| *value == from) {
                *value = to.into();
            }
        }
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
                self.refuse(key, &found, format_args!("only {neutral} is"))
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
            strictness: self.strictness,
        }))
    }

    /// Judges the keys of a whole file that nobody has asked for, some of which say what is so of
    /// this decoder.
    pub(super) fn finish_file(mut self, config: &DecoderConfig) -> Result<(), ModelError> {
        if self.keys.get("use_sliding_window") == Some(&Value::Bool(false)) {
            self.keys.remove("sliding_window");
        }
        self.keys
            .retain(|key, value| !facts::is_so(key, value, config));
        self.finish()
    }

    /// Judges the keys that nobody has asked for: those that might change the numbers are refused,
    /// others that are not known are a warning.
    pub(super) fn finish(self) -> Result<(), ModelError> {
        let mut unknown = Vec::new();
        for (key, value) in &self.keys {
            if QUANTISATION.contains(&&**key) {
                self.check_quantisation(key, value)?;
                continue;
            }
            match keys::meaning(key, value) {
                Meaning::Harmless => {}
                Meaning::Unknown => unknown.push(format!("{}{}", self.prefix, shown(key))),
                Meaning::Computed(families) => {
                    let expected = format_args!(
                        "models of {families} compute with it; {}",
                        Strictness::WAY_OUT
                    );
                    self.refuse(key, value, expected)?;
                }
                Meaning::Suspicious(part) => {
                    let expected = format_args!(
                        "it is not known, and a '{part}' may change the numbers; {}",
                        Strictness::WAY_OUT
                    );
                    self.refuse(key, value, expected)?;
                }
            }
        }
        unknown.sort();
        if let Some(keys) = listed(&unknown) {
            let path = self.path.display();
            warn::once(format!("{path}: {keys} not known, and passed over"));
        }
        Ok(())
    }

    /// Refuses a section that tells of weights in fewer bits.
    fn check_quantisation(&self, key: &str, value: &Value) -> Result<(), ModelError> {
        let is_off = |name: &str| value.get(name) == Some(&Value::Bool(false));
        let is_none = match value {
            Value::Object(section) => {
                section.is_empty() || (is_off("load_in_4bit") && is_off("load_in_8bit"))
            }
            other => other.is_null(),
        };
        if is_none {
            return Ok(());
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let method = text("quant_method").or(text("quant_algo"));
        let bits = value.get("bits").and_then(Value::as_u64);
        let how = match (method, bits) {
            (Some(method), Some(bits)) => format!("{}, {bits} bits", shown(method)),
            (Some(method), None) => shown(method),
            (None, Some(bits)) => format!("{bits} bits"),
            (None, None) => "in some way".to_owned(),
        };
        let expected = format_args!(
            "the weights are quantised ({how}); take the model in 16 bits, or let transformers \
             dequantise it (model.dequantize()) and save it; if they are not, {}",
            Strictness::WAY_OUT
        );
        self.refuse(key, value, expected)
    }

    /// The error for a value that asks for something else than is implemented; leniently, a warning.
    fn refuse(&self, key: &str, found: &Value, expected: impl Display) -> Result<(), ModelError> {
        let error = self.unsupported(key, found, expected);
        match self.strictness {
            Strictness::Strict => Err(error),
            Strictness::Lenient => {
                warn::once(format!("{error}; passed over"));
                Ok(())
            }
        }
    }

    /// The error for a value without which there is nothing to compute.
    pub(super) fn unsupported(
        &self,
        key: &str,
        found: &Value,
        expected: impl Display,
    ) -> ModelError {
        ModelError::UnsupportedSetting {
            path: self.path.to_owned(),
            key: format!("{}{}", self.prefix, shown(key)),
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

/// A text of a file, for a message of one line.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    short.escape_debug().to_string()
}

/// `'a' is`, `'a', 'b' are`, or `'a', …, and 3 more are`; none if there are no keys.
fn listed(keys: &[String]) -> Option<String> {
    let named = keys.iter().take(NAMED_KEYS).map(|key| format!("'{key}'"));
    let named: Vec<String> = named.collect();
    let named = named.join(", ");
    match keys.len() {
        0 => None,
        1 => Some(format!("{named} is")),
        count if count <= NAMED_KEYS => Some(format!("{named} are")),
        count => Some(format!("{named} and {} more are", count - NAMED_KEYS)),
    }
}
