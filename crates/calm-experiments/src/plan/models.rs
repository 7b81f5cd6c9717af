//! Models of an experiment: files, or what a recipe makes.

use std::collections::BTreeMap;
use std::path::Path;

use calm_models::{Fetching, ModelSource};
use calm_train::runs::PretrainConfig;

use super::data::Data;
use super::files::Store;
use super::model::Model;
use super::settings::Settings;
use super::{Job, Work, key};
use crate::{Experiment, ExperimentError, ModelSpec};

/// Models by id.
pub(super) struct Models<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) data: &'a Data<'a>,
    pub(super) store: &'a Store,
    /// Public name of the device, on which results depend.
    pub(super) device: &'a str,
    pub(super) fetching: &'a mut dyn FnMut(Fetching<'_>),
    pub(super) known: BTreeMap<String, Model>,
    /// Jobs of recipes that were asked for, each behind those that it needs.
    pub(super) jobs: Vec<Job>,
    /// Recipes that are being resolved, to find circles.
    pub(super) open: Vec<String>,
}

impl Models<'_> {
    /// The model of an id, which the key at `keys` names.
    pub(super) fn get(&mut self, id: &str, keys: &[&str]) -> Result<Model, ExperimentError> {
        if let Some(model) = self.known.get(id) {
            return Ok(model.clone());
        }
        let (experiment, file) = (self.experiment, &self.experiment.file);
        experiment.known(keys, "model", id, &file.models.ids())?;
        if self.open.iter().any(|open| open == id) {
            let circle = self.open.join(" → ");
            let reason = format!("model '{id}' is made from itself: {circle} → {id}");
            return Err(experiment.wrong(&["models", id], reason));
        }
        self.open.push(id.to_owned());
        let model = match file.models.get(id) {
            Some(ModelSpec {
                source: Some(source),
                ..
            }) => self.of_files(id, source)?,
            Some(spec) => self.of_recipe(id, spec)?,
            None => unreachable!("it is known"),
        };
        self.open.pop();
        self.known.insert(id.to_owned(), model.clone());
        Ok(model)
    }

    fn of_files(&mut self, id: &str, source: &ModelSource) -> Result<Model, ExperimentError> {
        if let ModelSource::Path(path) = source
            && !path.exists()
        {
            let path = path.display();
            let spec = self.experiment.file.models.get(id);
            let advice = match spec.and_then(|spec| spec.made_by.as_ref()) {
                Some(command) => format!("; make it with `{command}`"),
                None => String::new(),
            };
            let reason =
                format!("model '{id}': {path}: there is no such file or directory{advice}");
            return Err(self.experiment.wrong(&["models", id, "source"], reason));
        }
        let files = source.resolve(&[], &mut *self.fetching);
        let files = files.map_err(|source| ExperimentError::Model {
            model: id.to_owned(),
            source: Box::new(source),
        })?;
        let sha256 = self.data.sha256(&files.path)?;
        let name = match &files.source {
            ModelSource::Path(path) => name_of(path),
            ModelSource::Hub(model) => model.to_string(),
        };
        Ok(Model {
            id: id.to_owned(),
            name,
            bytes: super::data::bytes(&files.path),
            source: files.source,
            sha256,
            made_by: None,
        })
    }

    fn of_recipe(&mut self, id: &str, spec: &ModelSpec) -> Result<Model, ExperimentError> {
        let mut values = self.experiment.file.defaults.pretrain.clone();
        values.extend(spec.pretrain.clone().unwrap_or_default());
        let settings = Settings {
            experiment: self.experiment,
            places: vec![vec!["models", id, "pretrain"], vec!["defaults", "pretrain"]],
            values,
        };
        let data = self.data;
        let (config, inputs) =
            settings.resolve::<PretrainConfig>(&mut |id, keys| self.get(id, keys), data)?;
        let hashed = ("pretrain", without_places(&config));
        let key = key::of_training(&hashed, &inputs.hashes, spec.seed, self.device);
        let directory = self.store.trained(&key);
        let mut config = config;
        config.out = directory.clone();
        config.training.resume = true;
        self.jobs.push(Job {
            title: format!("model '{id}'"),
            system: None,
            seed: Some(spec.seed),
            work: Work::Pretrain(Box::new(config)),
            key: key.clone(),
            needs: inputs.needs(),
            models: inputs.models,
        });
        Ok(Model {
            id: id.to_owned(),
            name: id.to_owned(),
            bytes: super::data::bytes(&directory),
            source: ModelSource::Path(directory),
            sha256: key.clone(),
            made_by: Some(key),
        })
    }
}

/// Settings without the places of files, which their hashes stand for.
pub(super) fn without_places(config: &PretrainConfig) -> PretrainConfig {
    let mut config = config.clone();
    config.from = None;
    config.tokenizer.clear();
    config.training.train.clear();
    config.training.validation.validation = None;
    config
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}
