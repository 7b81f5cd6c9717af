//! The model of a job.

use calm_compose::{ComposeError, Composition, CompositionConfig, LoadedModel};
use calm_models::{LoadOptions, ModelFiles, ModelSource};

use super::RunnerOptions;
use crate::ExperimentError;
use crate::plan::{Job, Plan, Work};

/// The model of a job, loaded when it is first needed.
pub(super) struct Model<'a> {
    plan: &'a Plan,
    job: &'a Job,
    options: &'a RunnerOptions,
    loaded: Option<Composition>,
}

impl<'a> Model<'a> {
    pub(super) fn new(plan: &'a Plan, job: &'a Job, options: &'a RunnerOptions) -> Self {
        Self {
            plan,
            job,
            options,
            loaded: None,
        }
    }

    pub(super) fn get(&mut self) -> Result<&Composition, ExperimentError> {
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => self.load().map_err(|source| ExperimentError::Loading {
                job: self.job.title.clone(),
                source: Box::new(source),
            })?,
        };
        Ok(self.loaded.insert(loaded))
    }

    fn load(&self) -> Result<Composition, ComposeError> {
        let options = LoadOptions {
            device: self.options.device.clone(),
            dtype: match &self.job.work {
                Work::Compose(config) => config.dtype,
                Work::Frozen | Work::Pretrain(_) => LoadOptions::default().dtype,
            },
            ..LoadOptions::default()
        };
        let source = match &self.job.work {
            Work::Frozen => self.job.models[0].1.source.clone(),
            Work::Compose(_) | Work::Pretrain(_) => {
                ModelSource::Path(self.job.directory(&self.plan.store))
            }
        };
        if let ModelSource::Path(path) = &source
            && path.join("composition.json").is_file()
        {
            return Composition::open(path, &options);
        }
        let files: ModelFiles = source.resolve(&[], &mut |_| {})?;
        let anchor = LoadedModel::from_files(files, &options)?;
        Composition::new(anchor, Vec::new(), &CompositionConfig::default(), 0)
    }
}
