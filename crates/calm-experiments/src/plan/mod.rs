//! From an experiment to jobs: which models, data and tasks there are, what each system is trained
//! from, and what each result depends on.

mod data;
mod expected;
mod files;
mod key;
mod model;
mod models;
mod settings;
mod systems;
mod tasks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use calm_models::Fetching;
use calm_train::runs::{ComposeConfig, PretrainConfig};

pub use self::files::Store;
pub(crate) use self::key::PROGRAM;
pub use self::model::Model;
#[cfg(test)]
pub(crate) use self::settings::setting_names;
pub use self::tasks::PlannedTask;
use crate::table::{Frame, SystemFrame};
use crate::{Experiment, ExperimentError};

/// Everything that is to be done for a table.
#[derive(Debug)]
pub struct Plan {
    /// The experiment.
    pub experiment: Experiment,
    /// The table without its results.
    pub frame: Frame,
    /// The tasks, with their examples.
    pub tasks: Vec<PlannedTask>,
    /// What is trained or loaded, in an order in which it can be done.
    pub jobs: Vec<Job>,
    /// Where results are kept.
    pub store: Store,
}

/// One model that is loaded or trained, and evaluated on all tasks if it is of a system.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its title: system and seed.
    pub title: String,
    /// Place of the system in the frame; none for a model that systems are made of.
    pub system: Option<usize>,
    /// The seed; none for a model as it is.
    pub seed: Option<u64>,
    /// Its work.
    pub work: Work,
    /// Hash of everything that its result depends on.
    pub key: String,
    /// Keys of the jobs that must be done before.
    pub needs: Vec<String>,
    /// Models that it is made of, each with its part and the hash of its weights.
    pub models: Vec<(String, Model)>,
}

/// The work of a job.
#[derive(Debug, Clone)]
pub enum Work {
    /// A model as it is.
    Frozen,
    /// Bridges, or a baseline in their place.
    Compose(Box<ComposeConfig>),
    /// A checkpoint.
    Pretrain(Box<PretrainConfig>),
}

impl Job {
    /// Directory of the trained model, or of the model as it is.
    pub fn directory(&self, store: &Store) -> PathBuf {
        match &self.work {
            Work::Frozen => match &self.models[0].1.source {
                calm_models::ModelSource::Path(path) => path.clone(),
                calm_models::ModelSource::Hub(model) => PathBuf::from(model.to_string()),
            },
            Work::Compose(_) | Work::Pretrain(_) => store.trained(&self.key),
        }
    }

    /// Hash of everything that its result on a task depends on.
    pub fn cell(&self, task: &PlannedTask) -> String {
        key::of(&("cell", &self.key, &task.key))
    }
}

/// How an experiment is planned.
#[derive(Debug)]
pub struct PlanOptions<'a> {
    /// Directory of all results, which experiments share.
    pub store: &'a Path,
    /// Public name of the device, on which results depend.
    pub device: &'a str,
    /// Systems to plan; all if there are none.
    pub only: &'a [String],
}

impl Plan {
    /// Works out the jobs of an experiment; `fetching` shows what comes from the Hub. Models of the Hub are fetched, data is built if it is
    /// not there yet, every task's examples are read: what is missing is an error now, not in hours.
    ///
    /// # Errors
    ///
    /// [`ExperimentError`] with file and line, or of the model, data or task that cannot be used.
    pub fn new(
        experiment: Experiment,
        options: &PlanOptions<'_>,
        fetching: &mut dyn FnMut(Fetching<'_>),
    ) -> Result<Self, ExperimentError> {
        let store = Store::new(options.store);
        let file = &experiment.file;
        let all = file.systems.ids();
        for id in options.only {
            experiment.known(&["systems"], "system", id, &all)?;
        }
        let data = data::Data::new(&experiment, &store);
        let mut models = models::Models {
            experiment: &experiment,
            data: &data,
            store: &store,
            device: options.device,
            fetching,
            known: BTreeMap::new(),
            jobs: Vec::new(),
            open: Vec::new(),
        };
        let tasks = tasks::plan(&experiment, &data)?;
        let mut systems = systems::Systems {
            experiment: &experiment,
            data: &data,
            models: &mut models,
        };
        let mut frames = Vec::new();
        let mut jobs = Vec::new();
        for id in all {
            if options.only.is_empty() || options.only.iter().any(|only| only == id) {
                let (frame, of_system) = systems.plan(id, frames.len())?;
                frames.push(frame);
                jobs.extend(of_system);
            }
        }
        let mut recipes = models.jobs;
        recipes.extend(jobs);
        let frame = frame(&experiment, frames, &tasks)?;
        Ok(Self {
            frame,
            tasks,
            jobs: recipes,
            store,
            experiment,
        })
    }
}

fn frame(
    experiment: &Experiment,
    systems: Vec<SystemFrame>,
    tasks: &[PlannedTask],
) -> Result<Frame, ExperimentError> {
    use crate::table::SystemKind;
    let file = &experiment.file;
    let is_there = |id: &&String| systems.iter().any(|system| system.id == **id);
    let of_kind = |kind| systems.iter().find(|system| system.kind == kind);
    let main = file.main.as_ref().filter(is_there).cloned();
    let main = main.or_else(|| of_kind(SystemKind::Composed).map(|system| system.id.clone()));
    let Some(main) = main.or_else(|| systems.last().map(|system| system.id.clone())) else {
        return Err(experiment.wrong(&["systems"], "has no systems"));
    };
    let reference = file.reference.as_ref().filter(is_there).cloned();
    let reference = reference.or_else(|| anchor_of(&systems, &main));
    let frame = Frame {
        name: experiment.name.clone(),
        title: file.title.trim().to_owned(),
        paper: file.paper.clone(),
        about: file.about.trim().to_owned(),
        mode: experiment.mode.name().map(str::to_owned),
        reference: reference.unwrap_or_else(|| systems[0].id.clone()),
        main,
        systems,
        tasks: tasks.iter().map(|task| task.frame.clone()).collect(),
        expected: Vec::new(),
    };
    let expected = expected::expected(experiment, &frame)?;
    Ok(Frame { expected, ..frame })
}

/// The system that is the anchor of another one, alone; else the first model as it is.
fn anchor_of(systems: &[SystemFrame], main: &str) -> Option<String> {
    use crate::table::SystemKind;
    let frozen = || {
        systems
            .iter()
            .filter(|system| system.kind == SystemKind::Frozen)
    };
    let main = systems.iter().find(|system| system.id == main)?;
    let anchor = main.models.iter().find(|(part, _)| part == "m_B");
    let same = |system: &&SystemFrame| anchor.is_some_and(|(_, name)| system.models[0].1 == *name);
    let found = frozen().find(same).or_else(|| frozen().next());
    found.map(|system| system.id.clone())
}
