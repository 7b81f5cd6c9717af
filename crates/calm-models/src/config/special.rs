//! Token ids with a meaning of their own, and the ways in which files name them.

use std::path::Path;

use serde::de::Error as _;
use serde_json::{Value, json};

use super::ConfigError;
use crate::{ModelError, warn};

/// A warning shows so many ids.
const SHOWN: usize = 5;

/// Token ids with a meaning of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpecialIds {
    /// Begins a sequence.
    pub bos: Option<u32>,
    /// Any of these ends one.
    pub eos: Vec<u32>,
    /// Fills up shorter rows of a batch.
    pub pad: Option<u32>,
}

impl SpecialIds {
    /// Checks that every id has an embedding.
    pub(crate) fn validate(&self, vocab_size: usize) -> Result<(), ConfigError> {
        let mut ids = self.bos.iter().chain(&self.eos).chain(&self.pad);
        match ids.find(|id| **id as usize >= vocab_size) {
            Some(id) => Err(ConfigError::SpecialId {
                id: *id,
                vocab_size,
            }),
            None => Ok(()),
        }
    }

    /// The ids that end a sequence, as files write them.
    pub(crate) fn eos_json(&self) -> Value {
        match self.eos.as_slice() {
            [] => Value::Null,
            [id] => json!(id),
            ids => json!(ids),
        }
    }
}

/// Ids that a file names under one key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NamedIds {
    /// Those that a token has.
    ids: Vec<u32>,
    /// Those that none has, as they stand in the file: -1 and `null` mean none, larger ones are
    /// left over from another vocabulary. `transformers` passes them on, and nothing equals them.
    unusable: Vec<String>,
}

impl NamedIds {
    /// The usable ids of a value under `key`: `null`, a number, or a list of them. A warning tells of
    /// others.
    ///
    /// # Errors
    ///
    /// [`ModelError::Json`] if it is none of these.
    pub(crate) fn read(
        value: &Value,
        vocab_size: usize,
        key: &str,
        path: &Path,
    ) -> Result<Vec<u32>, ModelError> {
        let Self { ids, unusable } = Self::parse(value, vocab_size).map_err(|found| {
            let message = format_args!("{key}: expected ids of tokens, found {found}");
            ModelError::Json {
                path: path.to_owned(),
                source: serde_json::Error::custom(message),
            }
        })?;
        if !unusable.is_empty() {
            let (path, count) = (path.display(), unusable.len());
            let mut shown: Vec<String> = unusable.into_iter().take(SHOWN).collect();
            if count > SHOWN {
                shown.push("…".to_owned());
            }
            warn::once(format!(
                "{path}: {key} names {}, which no token of {vocab_size} has; passed over",
                shown.join(", ")
            ));
        }
        Ok(ids)
    }

    fn parse(value: &Value, vocab_size: usize) -> Result<Self, String> {
        let mut named = Self::default();
        if !value.is_null() {
            named.add(value, vocab_size)?;
        }
        Ok(named)
    }

    fn add(&mut self, value: &Value, vocab_size: usize) -> Result<(), String> {
        let number = match value {
            Value::Array(values) => {
                return values
                    .iter()
                    .try_for_each(|value| self.add(value, vocab_size));
            }
            Value::Number(number) => number.as_f64().filter(|number| number.fract() == 0.0),
            Value::Null | Value::Bool(_) => Some(-1.0),
            _ => None,
        };
        let number =
            number.ok_or_else(|| value.to_string().chars().take(60).collect::<String>())?;
        if (0.0..vocab_size as f64).contains(&number) {
            self.ids.push(number as u32);
        } else {
            self.unusable.push(value.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_a_token_has_are_kept() {
        let cases = [
            (json!(null), vec![], vec![]),
            (json!(2), vec![2], vec![]),
            (json!(2.0), vec![2], vec![]),
            (json!(0), vec![0], vec![]),
            (json!([]), vec![], vec![]),
            (json!([3, [1.0, 2]]), vec![3, 1, 2], vec![]),
            (json!(-1), vec![], vec!["-1"]),
            (
                json!([1, null, -1, 80, true]),
                vec![1],
                vec!["null", "-1", "80", "true"],
            ),
            (json!(u64::MAX), vec![], vec!["18446744073709551615"]),
            (json!(1e300), vec![], vec!["1e+300"]),
        ];
        for (value, ids, unusable) in cases {
            let unusable = unusable.into_iter().map(str::to_owned).collect();
            assert_eq!(
                NamedIds::parse(&value, 80),
                Ok(NamedIds { ids, unusable }),
                "{value}"
            );
        }
        for value in [json!("2"), json!({}), json!(2.5), json!([1, "x"])] {
            assert!(NamedIds::parse(&value, 80).is_err(), "{value}");
        }
    }
}
