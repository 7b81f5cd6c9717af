//! Settings of a training: flags of `calm compose` or `calm pretrain`, in which models and data are
//! ids of the experiment.

use std::path::PathBuf;

use calm_data::bundle::nearest;
use calm_models::ModelSource;
use calm_train::runs::PlaceholderSource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::data::Data;
use super::model::Model;
use crate::{Experiment, ExperimentError};

/// Settings that name models, each with the part that the model plays.
const MODELS: [(&str, &str); 5] = [
    ("anchor", "m_B"),
    ("augmenting", "m_A"),
    ("extend", "composition"),
    ("init-from", "composition"),
    ("from", "base"),
];
/// Settings that name data.
const DATA: [&str; 3] = ["train", "validation", "tokenizer"];
/// The setting that may name data.
const PLACEHOLDERS: &str = "placeholders";
/// Settings that the runner gives.
const OF_RUNNER: [&str; 2] = ["out", "resume"];

/// Finds the model of an id, which the key at a path of keys names.
pub(super) type FindModel<'a> = dyn FnMut(&str, &[&str]) -> Result<Model, ExperimentError> + 'a;

/// Settings as the file has them.
pub(super) struct Settings<'a> {
    pub(super) experiment: &'a Experiment,
    /// Paths of the tables that they may stand in, the nearest first.
    pub(super) places: Vec<Vec<&'a str>>,
    /// All of them.
    pub(super) values: Map<String, Value>,
}

/// Models and data that settings name.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    /// Models, each with its part.
    pub(super) models: Vec<(String, Model)>,
    /// Hashes of models and data, by setting.
    pub(super) hashes: Vec<(String, String)>,
}

impl Inputs {
    /// Keys of the jobs that make the models.
    pub(super) fn needs(&self) -> Vec<String> {
        let made = self
            .models
            .iter()
            .filter_map(|(_, model)| model.made_by.clone());
        made.collect()
    }
}

impl Settings<'_> {
    /// Settings with values of their type, models and data found, and with what they depend on.
    pub(super) fn resolve<C: Default + Serialize + DeserializeOwned>(
        &self,
        models: &mut FindModel<'_>,
        data: &Data<'_>,
    ) -> Result<(C, Inputs), ExperimentError> {
        let mut inputs = Inputs::default();
        let mut typed = to_map(&C::default());
        for (name, value) in &self.values {
            self.check_name::<C>(name)?;
            let value = match MODELS.iter().find(|(key, _)| key == name) {
                Some((_, part)) => self.models(name, part, value, models, &mut inputs)?,
                None if is_data(name, value) => self.data(name, value, data, &mut inputs)?,
                None => value.clone(),
            };
            typed.insert(name.clone(), value);
            let read = serde_json::from_value::<C>(Value::Object(typed.clone()));
            read.map_err(|error| self.wrong(name, format!("'{name}': {error}")))?;
        }
        let config = serde_json::from_value(Value::Object(typed));
        let config = config.map_err(|error| self.wrong("", error.to_string()))?;
        Ok((config, inputs))
    }

    /// An error about a setting, with the line of the table that has it.
    pub(super) fn wrong(&self, name: &str, reason: impl Into<String>) -> ExperimentError {
        self.experiment.wrong(&self.keys(name), reason)
    }

    /// The path of a setting in the file.
    fn keys<'k>(&'k self, name: &'k str) -> Vec<&'k str> {
        let with_name = |place: &Vec<&'k str>| [place.as_slice(), &[name]].concat();
        let mut places = self.places.iter().map(with_name);
        let there = places.find(|keys| self.experiment.has(keys));
        there.unwrap_or_else(|| self.places[0].clone())
    }

    fn check_name<C: Default + Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<(), ExperimentError> {
        if OF_RUNNER.contains(&name) {
            let reason = format!("'{name}' is given by the experiment; leave it out");
            return Err(self.wrong(name, reason));
        }
        if is_setting::<C>(name) {
            return Ok(());
        }
        let known = setting_names::<C>();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let near = nearest(name, &known);
        Err(self.wrong(
            name,
            format!("unknown setting '{name}'; did you mean '{near}'?"),
        ))
    }

    /// Finds the models that a setting names.
    fn models(
        &self,
        name: &str,
        part: &str,
        value: &Value,
        models: &mut FindModel<'_>,
        inputs: &mut Inputs,
    ) -> Result<Value, ExperimentError> {
        let ids = self.texts(name, value, "the id of a model")?;
        let mut sources = Vec::new();
        for (number, id) in ids.iter().enumerate() {
            let model = models(id, &self.keys(name))?;
            let part = match ids.len() {
                1 => part.to_owned(),
                _ => format!("{part}{}", number + 1),
            };
            inputs.hashes.push((name.to_owned(), model.sha256.clone()));
            sources.push(match &model.source {
                ModelSource::Path(path) => path.display().to_string(),
                ModelSource::Hub(model) => model.to_string(),
            });
            inputs.models.push((part, model));
        }
        Ok(match value {
            Value::Array(_) => json!(sources),
            _ => json!(sources[0]),
        })
    }

    /// Finds the data that a setting names.
    fn data(
        &self,
        name: &str,
        value: &Value,
        data: &Data<'_>,
        inputs: &mut Inputs,
    ) -> Result<Value, ExperimentError> {
        let texts = self.texts(name, value, "the id of data")?;
        let [reference] = texts.as_slice() else {
            return Err(self.wrong(name, format!("'{name}': give one file")));
        };
        let path: PathBuf = data.path(reference, &self.keys(name))?;
        inputs.hashes.push((name.to_owned(), data.sha256(&path)?));
        Ok(json!(path))
    }

    fn texts(
        &self,
        name: &str,
        value: &Value,
        expected: &str,
    ) -> Result<Vec<String>, ExperimentError> {
        let wrong = || self.wrong(name, format!("'{name}': expected {expected}, in quotes"));
        let values = match value {
            Value::Array(values) if !values.is_empty() => values.clone(),
            value => vec![value.clone()],
        };
        let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
        texts.collect::<Option<_>>().ok_or_else(wrong)
    }
}

/// Whether a setting names data: placeholders do, if they are the words of a file.
fn is_data(name: &str, value: &Value) -> bool {
    let is_file = |text: &str| matches!(text.parse(), Ok(PlaceholderSource::File(_)));
    DATA.contains(&name) || name == PLACEHOLDERS && value.as_str().is_some_and(is_file)
}

/// Whether a struct of settings has one of this name. No setting can have a table with an empty key
/// for a value; a name that is none is not looked at.
fn is_setting<C: Default + Serialize + DeserializeOwned>(name: &str) -> bool {
    let mut values = to_map(&C::default());
    values.insert(name.to_owned(), json!({ "": {} }));
    serde_json::from_value::<C>(Value::Object(values)).is_err()
}

/// Names of the settings that an experiment may have.
pub(crate) fn setting_names<C: Default + Serialize + DeserializeOwned>() -> Vec<String> {
    let written = to_map(&C::default());
    let names = written.keys().map(String::as_str).chain(OPTIONAL);
    let names = names.filter(|name| is_setting::<C>(name) && !OF_RUNNER.contains(name));
    names.map(str::to_owned).collect()
}

/// Settings that are not written while they are left open, for the nearest name.
const OPTIONAL: [&str; 33] = [
    "anchor",
    "augmenting-device",
    "baseline",
    "blocks",
    "connections",
    "context",
    "d-inner",
    "d-model",
    "data-cache",
    "devices",
    "eos",
    "epochs",
    "extend",
    "from",
    "heads",
    "init-from",
    "learning-rate",
    "lenient",
    "lora",
    "mask-anchor",
    "mask-decay",
    "mask-field",
    "output-unit",
    "patience",
    "placeholders",
    "random-augmenting",
    "rows",
    "steps",
    "validation",
    "validation-examples",
    "validation-metric",
    "validation-share",
    "validation-steps",
];

fn to_map(settings: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("settings are a struct"),
    }
}

#[cfg(test)]
mod tests {
    use calm_train::runs::{ComposeConfig, PretrainConfig};

    use super::*;

    #[test]
    fn settings_are_told_from_other_names() {
        for name in OPTIONAL {
            let found = is_setting::<ComposeConfig>(name) || is_setting::<PretrainConfig>(name);
            assert!(found, "{name} is no setting any more");
        }
        for name in to_map(&ComposeConfig::default()).keys() {
            assert!(is_setting::<ComposeConfig>(name), "{name}");
        }
        for name in ["nois", "", "Noise", "learning_rate", "pretrain"] {
            assert!(!is_setting::<ComposeConfig>(name), "{name}");
        }
    }
}
