//! The models that are compared, and how each gets its numbers.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::compose::{Composition, CompositionConfig, LoadedModel, LoraPlan};
use calm_lm::data::Batches;
use calm_lm::data::kv::{DataMixture, EOS_ID, KeyPool, KvDataset, KvTask};
use calm_lm::eval::{Proportion, accuracy, exact_match};
use calm_lm::models::CausalLm;
use calm_lm::terminal::{Display, RunDisplay};
use calm_lm::train::runs::{BridgeTrainingConfig, Environment, FitOptions, fit, train_bridges};
use calm_lm::train::{LanguageModelling, RunDir, TrainConfig};
use miette::{IntoDiagnostic, Result};
use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// Seed of the weights of the untrained m_A; which one does not matter, so it never changes.
const UNTRAINED_SEED: u64 = 1_000_003;

/// One column of the table for one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// m_A alone.
    Augmenting,
    /// m_B alone.
    Anchor,
    /// m_A⊕B.
    Composed,
    /// m_B with low-rank adapters, trained on the same D_C with as many parameters.
    Lora,
    /// The composition, trained likewise, with an m_A of random weights.
    UntrainedAugmenting,
}

impl System {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Augmenting => "m_A",
            Self::Anchor => "m_B",
            Self::Composed => "m_A⊕B",
            Self::Lora => "LoRA on m_B",
            Self::UntrainedAugmenting => "untrained m_A⊕B",
        }
    }

    /// Whether anything is trained, and so whether mixture and seed matter.
    pub(crate) fn is_trained(self) -> bool {
        !matches!(self, Self::Augmenting | Self::Anchor)
    }
}

/// A system, what it is trained on, and the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) system: System,
    #[serde(rename = "reading")]
    pub(crate) mixture: DataMixture,
    pub(crate) seed: u64,
}

impl Job {
    /// Name of its directory.
    pub(crate) fn name(self) -> String {
        let system = serde_json::to_value(self.system).expect("a name is plain data");
        let system = system.as_str().unwrap_or_default();
        if self.system.is_trained() {
            format!("{system}-{}-{}", self.mixture.name(), self.seed)
        } else {
            system.to_owned()
        }
    }
}

/// The setting that a resumed job must share.
#[derive(Serialize)]
struct JobIdentity {
    job: Job,
}

/// Measurements of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) job: Job,
    /// Exact match on held-out keys, in the order of [`KvTask::TABLE`].
    pub(crate) accuracy: Vec<Proportion>,
    /// The same expressions' tasks over held-in keys, to tell learning from generalising.
    pub(crate) held_in: Vec<Proportion>,
    /// Trainable parameters.
    pub(crate) added_parameters: usize,
    /// By the paper's count, without W_O and bias; none for what has no bridges.
    pub(crate) paper_parameters: Option<usize>,
    pub(crate) train_seconds: f64,
    pub(crate) evaluate_seconds: f64,
}

/// All that jobs share.
pub(crate) struct Experiment<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) dataset: &'a KvDataset,
    pub(crate) anchor: &'a LoadedModel,
    pub(crate) augmenting: &'a LoadedModel,
    pub(crate) device: &'a Device,
    pub(crate) directory: &'a Path,
}

impl Experiment<'_> {
    /// Trains what the job trains and evaluates it.
    pub(crate) fn run(&self, job: Job) -> Result<Measured> {
        let started = Instant::now();
        match job.system {
            System::Augmenting => self.evaluate(job, &self.augmenting.model.decoder, 0, started),
            System::Anchor => self.evaluate(job, &self.anchor.model.decoder, 0, started),
            System::Composed => self.compose(job, self.augmenting, started),
            System::UntrainedAugmenting => self.compose(
                job,
                &self.augmenting.random_init_like(UNTRAINED_SEED),
                started,
            ),
            System::Lora => self.lora(job, started),
        }
    }

    /// States of the augmenting model are not kept from epoch to epoch: that is an eighth of the
    /// time, and 2.4 GiB for each job.
    fn compose(&self, job: Job, augmenting: &LoadedModel, started: Instant) -> Result<Measured> {
        let composition = self.composition(augmenting, job.seed)?;
        let config = BridgeTrainingConfig {
            train: self.train_config(job),
            noise: self.settings.noise,
            ..BridgeTrainingConfig::default()
        };
        let composition = train_bridges(
            &job.name(),
            composition,
            &self.batches(job)?,
            &config,
            Some(self.run_dir(job)?),
            &mut RunDisplay::new(Display::Progress),
        )
        .into_diagnostic()?;
        let bridges = &composition.model.bridges;
        let measured =
            self.evaluate(job, &composition.model, bridges.parameter_count(), started)?;
        Ok(Measured {
            paper_parameters: Some(bridges.paper_parameter_count()),
            ..measured
        })
    }

    /// Frozen models and fresh bridges between them.
    fn composition(&self, augmenting: &LoadedModel, seed: u64) -> Result<Composition> {
        let config = CompositionConfig {
            heads: self.settings.heads,
            options: self.settings.options,
            ..CompositionConfig::default()
        };
        let augmenting = vec![(augmenting.clone(), self.settings.plan())];
        Composition::new(self.anchor.clone(), augmenting, &config, seed).into_diagnostic()
    }

    fn lora(&self, job: Job, started: Instant) -> Result<Measured> {
        let bridges = self.composition(self.augmenting, job.seed)?.model.bridges;
        let anchor = &self.anchor.model.decoder;
        let plan = LoraPlan::near(anchor, bridges.parameter_count()).into_diagnostic()?;
        let adapted = plan.apply(anchor, job.seed, &self.device.clone().autodiff());
        let batches = self.batches(job)?;
        let options = FitOptions {
            directory: Some(self.run_dir(job)?),
            ..FitOptions::default()
        };
        let (name, objective) = (job.name(), LanguageModelling::default());
        let trainer = fit(
            &name,
            &objective,
            adapted,
            self.train_config(job),
            options,
            &|number| Ok(batches.batch(number)?),
            &mut RunDisplay::new(Display::Progress),
        );
        let trained = trainer.into_diagnostic()?.into_parameters().valid();
        self.evaluate(job, &trained, plan.parameters, started)
    }

    /// D_C.
    fn batches(&self, job: Job) -> Result<Batches> {
        self.settings
            .batches(self.dataset, job.mixture, &self.anchor.model, job.seed)
            .into_diagnostic()
    }

    fn train_config(&self, job: Job) -> TrainConfig {
        TrainConfig {
            seed: job.seed,
            ..self.settings.train.clone()
        }
    }

    /// The directory that a job's training goes on from.
    fn run_dir(&self, job: Job) -> Result<RunDir> {
        let environment = Environment::new(self.device, None);
        let directory = self.directory.join(job.name());
        RunDir::open(&directory, &JobIdentity { job }, &environment).into_diagnostic()
    }

    fn evaluate<M: CausalLm>(
        &self,
        job: Job,
        model: &M,
        added_parameters: usize,
        started: Instant,
    ) -> Result<Measured> {
        let train_seconds = started.elapsed().as_secs_f64();
        let evaluating = Instant::now();
        let score = |task: &KvTask, pool| -> Result<Proportion> {
            let examples = self.settings.evaluation(self.dataset, *task, pool);
            let tokenizer = &self.anchor.model.tokenizer;
            let samples = exact_match(model, tokenizer, EOS_ID, &examples).into_diagnostic()?;
            Ok(accuracy(&samples))
        };
        let of = |pool| {
            KvTask::TABLE
                .iter()
                .map(|task| score(task, pool))
                .collect::<Result<_>>()
        };
        let (accuracy, held_in) = (of(KeyPool::HeldOut)?, of(KeyPool::HeldIn)?);
        Ok(Measured {
            job,
            accuracy,
            held_in,
            added_parameters,
            paper_parameters: None,
            train_seconds,
            evaluate_seconds: evaluating.elapsed().as_secs_f64(),
        })
    }
}
