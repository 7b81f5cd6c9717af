//! Systems of an experiment, and the jobs that make them.

use std::path::PathBuf;

use calm_train::runs::{Baseline, ComposeConfig, PlaceholderSource, PretrainConfig};
use serde::Serialize;
use serde_json::{Map, Value};

use super::data::Data;
use super::models::{Models, without_places};
use super::settings::{Inputs, Settings};
use super::{Job, Work, key};
use crate::table::{SystemFrame, SystemKind};
use crate::{Experiment, ExperimentError, Seeds, SystemSpec};

/// Seeds of an experiment that names none.
const SEEDS: &str = "0..2";

/// Settings that a baseline cannot have: as defaults, they are those of the systems with bridges.
const OF_BRIDGES: [&str; 9] = [
    "noise",
    "mask-anchor",
    "mask-decay",
    "mask-field",
    "placeholders",
    "dtype",
    "gradient-checkpointing",
    "devices",
    "workers",
];

/// Systems that are planned.
pub(super) struct Systems<'a, 'm> {
    pub(super) experiment: &'a Experiment,
    pub(super) data: &'a Data<'a>,
    pub(super) models: &'a mut Models<'m>,
}

impl Systems<'_, '_> {
    /// A system, which is number `place` of the table, and its jobs.
    pub(super) fn plan(
        &mut self,
        id: &str,
        place: usize,
    ) -> Result<(SystemFrame, Vec<Job>), ExperimentError> {
        let spec = self.inherited(id, &mut Vec::new())?;
        let title = spec.title.clone().unwrap_or_else(|| id.to_owned());
        let (kind, mut jobs) = match (&spec.model, &spec.compose, &spec.pretrain) {
            (Some(model), None, None) => (SystemKind::Frozen, vec![self.frozen(id, model)?]),
            (None, Some(compose), None) => self.composed(id, &spec, compose)?,
            (None, None, Some(pretrain)) => (
                SystemKind::Pretrained,
                self.pretrained(id, &spec, pretrain)?,
            ),
            _ => {
                let reason = format!(
                    "system '{id}': give one of `model` (as it is), `compose` (bridges, or a \
                     baseline in their place) and `pretrain` (a model that is trained on)"
                );
                return Err(self.experiment.wrong(&["systems", id], reason));
            }
        };
        for job in &mut jobs {
            job.system = Some(place);
            job.title = match job.seed {
                Some(seed) => format!("{title}, seed {seed}"),
                None => title.clone(),
            };
        }
        let models = jobs.first().map_or_else(Vec::new, |job| {
            let names = job.models.iter();
            names
                .map(|(part, model)| (part.clone(), model.name.clone()))
                .collect()
        });
        let frame = SystemFrame {
            id: id.to_owned(),
            title,
            kind,
            models,
        };
        Ok((frame, jobs))
    }

    /// A system with the settings of the one that it is like.
    fn inherited(&self, id: &str, open: &mut Vec<String>) -> Result<SystemSpec, ExperimentError> {
        let systems = &self.experiment.file.systems;
        let spec = systems.get(id).cloned().unwrap_or_default();
        let Some(like) = spec.like.clone() else {
            return Ok(spec);
        };
        let keys = ["systems", id, "like"];
        self.experiment
            .known(&keys, "system", &like, &systems.ids())?;
        open.push(id.to_owned());
        if open.contains(&like) {
            let reason = format!(
                "system '{id}' is like itself: {} → {like}",
                open.join(" → ")
            );
            return Err(self.experiment.wrong(&keys, reason));
        }
        let base = self.inherited(&like, open)?;
        Ok(SystemSpec {
            title: spec.title,
            like: None,
            model: spec.model.or(base.model),
            compose: over(base.compose.as_ref(), spec.compose.as_ref()),
            pretrain: over(base.pretrain.as_ref(), spec.pretrain.as_ref()),
            seeds: spec.seeds.or(base.seeds),
        })
    }

    fn seeds(&self, spec: &SystemSpec) -> Vec<u64> {
        let seeds = spec.seeds.as_ref().or(self.experiment.file.seeds.as_ref());
        let default = || SEEDS.parse::<Seeds>().expect("it is written by hand");
        let seeds = seeds.cloned().unwrap_or_else(default);
        seeds.as_slice().to_vec()
    }

    fn frozen(&mut self, id: &str, model: &str) -> Result<Job, ExperimentError> {
        let model = self.models.get(model, &["systems", id, "model"])?;
        Ok(Job {
            title: String::new(),
            system: None,
            seed: None,
            work: Work::Frozen,
            key: key::of(&("frozen", &model.sha256, self.models.device)),
            needs: model.made_by.clone().into_iter().collect(),
            models: vec![("model".to_owned(), model)],
        })
    }

    fn composed(
        &mut self,
        id: &str,
        spec: &SystemSpec,
        compose: &Map<String, Value>,
    ) -> Result<(SystemKind, Vec<Job>), ExperimentError> {
        let mut defaults = self.experiment.file.defaults.compose.clone();
        if compose.contains_key("baseline") {
            defaults.retain(|name, _| !OF_BRIDGES.contains(&&**name));
        }
        let settings = Settings {
            experiment: self.experiment,
            places: vec![vec!["systems", id, "compose"], vec!["defaults", "compose"]],
            values: over(Some(&defaults), Some(compose)).unwrap_or_default(),
        };
        let (config, inputs) = settings
            .resolve::<ComposeConfig>(&mut |id, keys| self.models.get(id, keys), self.data)?;
        // A flaw that needs no model is found before anything is loaded.
        let mut checked = config.clone();
        checked.out = "out".into();
        let valid = checked.validate();
        valid.map_err(|error| settings.wrong("", format!("system '{id}': {error}")))?;
        let kind = match config.baseline {
            None => SystemKind::Composed,
            Some(Baseline::Lora) => SystemKind::Lora,
            Some(Baseline::Finetune) => SystemKind::Finetuned,
        };
        let hashed = ("compose", without_models(&config));
        let jobs = self.jobs(spec, &hashed, &inputs, |out| {
            let mut config = config.clone();
            config.out = out;
            config.training.resume = true;
            Work::Compose(Box::new(config))
        });
        Ok((kind, jobs))
    }

    fn pretrained(
        &mut self,
        id: &str,
        spec: &SystemSpec,
        pretrain: &Map<String, Value>,
    ) -> Result<Vec<Job>, ExperimentError> {
        let defaults = &self.experiment.file.defaults.pretrain;
        let settings = Settings {
            experiment: self.experiment,
            places: vec![
                vec!["systems", id, "pretrain"],
                vec!["defaults", "pretrain"],
            ],
            values: over(Some(defaults), Some(pretrain)).unwrap_or_default(),
        };
        let (config, inputs) = settings
            .resolve::<PretrainConfig>(&mut |id, keys| self.models.get(id, keys), self.data)?;
        let mut checked = config.clone();
        checked.out = "out".into();
        let valid = checked.validate();
        valid.map_err(|error| settings.wrong("", format!("system '{id}': {error}")))?;
        let hashed = ("pretrain", without_places(&config));
        Ok(self.jobs(spec, &hashed, &inputs, |out| {
            let mut config = config.clone();
            config.out = out;
            config.training.resume = true;
            Work::Pretrain(Box::new(config))
        }))
    }

    /// A job for each seed, of settings that are `hashed` without places; `work` is told where its
    /// result goes.
    fn jobs(
        &self,
        spec: &SystemSpec,
        hashed: &impl Serialize,
        inputs: &Inputs,
        work: impl Fn(PathBuf) -> Work,
    ) -> Vec<Job> {
        let seeds = self.seeds(spec).into_iter();
        let job = |seed| {
            let key = key::of_training(hashed, &inputs.hashes, seed, self.models.device);
            Job {
                title: String::new(),
                system: None,
                seed: Some(seed),
                work: work(self.models.store.trained(&key)),
                key,
                needs: inputs.needs(),
                models: inputs.models.clone(),
            }
        };
        seeds.map(job).collect()
    }
}

/// Settings over those of another system.
fn over(
    below: Option<&Map<String, Value>>,
    above: Option<&Map<String, Value>>,
) -> Option<Map<String, Value>> {
    let mut layers = [below, above].into_iter().flatten().cloned();
    let mut all = layers.next()?;
    layers.for_each(|layer| all.extend(layer));
    Some(all)
}

/// Settings without the places of files, which their hashes stand for.
fn without_models(config: &ComposeConfig) -> ComposeConfig {
    let mut config = config.clone();
    config.anchor = None;
    config.extend = None;
    config.init_from = None;
    config.augmenting.clear();
    config.training.train.clear();
    config.training.validation.validation = None;
    if let Some(PlaceholderSource::File(path)) = &mut config.masking.placeholders {
        path.clear();
    }
    config
}
