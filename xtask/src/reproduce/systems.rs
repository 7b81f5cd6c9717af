//! The models that are compared, and how each gets its numbers.

use std::path::Path;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use calm_lm::compose::{Bridges, ComposedModel, FrozenParts, LoraPlan};
use calm_lm::data::Batches;
use calm_lm::data::kv::{DataMixture, EOS_ID, KeyPool, KvDataset, KvTask};
use calm_lm::eval::{Proportion, accuracy, exact_match};
use calm_lm::models::{CausalLm, FrozenModel};
use calm_lm::terminal::{Display, RunDisplay};
use calm_lm::train::runs::{Environment, FitOptions, fit};
use calm_lm::train::{BridgeTraining, LanguageModelling, Objective, RunDir, Trainer, calibrate};
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

/// What a job measured.
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
    pub(crate) anchor: &'a FrozenModel,
    pub(crate) augmenting: &'a FrozenModel,
    pub(crate) device: &'a Device,
    pub(crate) directory: &'a Path,
}

impl Experiment<'_> {
    /// Trains what the job trains and evaluates it.
    pub(crate) fn run(&self, job: Job) -> Result<Measured> {
        let started = Instant::now();
        match job.system {
            System::Augmenting => self.evaluate(job, &self.augmenting.decoder, 0, started),
            System::Anchor => self.evaluate(job, &self.anchor.decoder, 0, started),
            System::Composed => self.compose(job, self.augmenting, started),
            System::UntrainedAugmenting => self.compose(
                job,
                &self.augmenting.random_init_like(UNTRAINED_SEED),
                started,
            ),
            System::Lora => self.lora(job, started),
        }
    }

    fn compose(&self, job: Job, augmenting: &FrozenModel, started: Instant) -> Result<Measured> {
        let (parts, bridges) = self.bridges(augmenting, job.seed)?;
        let paper_parameters = bridges.paper_parameter_count();
        let added = bridges.parameter_count();
        let batches = self.batches(job)?;
        // States of the augmenting model are not kept from epoch to epoch: that is an eighth of the
        // time, and 2.4 GiB for each job.
        let objective = BridgeTraining::new(&parts).with_noise(self.settings.noise);
        let first = batches.batch(0).into_diagnostic()?;
        let bridges = calibrate(&parts, bridges, &first).into_diagnostic()?;
        let bridges = self.train(job, &objective, bridges, &batches)?.valid();
        let model = ComposedModel { parts, bridges };
        let measured = self.evaluate(job, &model, added, started)?;
        Ok(Measured {
            paper_parameters: Some(paper_parameters),
            ..measured
        })
    }

    /// Frozen models and fresh bridges between them.
    fn bridges(&self, augmenting: &FrozenModel, seed: u64) -> Result<(FrozenParts, Bridges)> {
        let connections = self
            .settings
            .plan()
            .resolve(
                augmenting.decoder.block_count(),
                self.anchor.decoder.block_count(),
            )
            .into_diagnostic()?;
        let parts =
            FrozenParts::join(self.anchor, [(augmenting, connections)]).into_diagnostic()?;
        let heads = self.settings.heads.unwrap_or(self.anchor.config().heads());
        let sets = parts.bridge_sets_with(heads, self.settings.options);
        let device = self.device.clone().autodiff();
        let bridges = Bridges::init(&sets, seed, &device).into_diagnostic()?;
        Ok((parts, bridges))
    }

    fn lora(&self, job: Job, started: Instant) -> Result<Measured> {
        let (_, bridges) = self.bridges(self.augmenting, job.seed)?;
        let plan =
            LoraPlan::near(&self.anchor.decoder, bridges.parameter_count()).into_diagnostic()?;
        let device = self.device.clone().autodiff();
        let adapted = plan.apply(&self.anchor.decoder, job.seed, &device);
        let trained = self
            .train(
                job,
                &LanguageModelling::default(),
                adapted,
                &self.batches(job)?,
            )?
            .valid();
        self.evaluate(job, &trained, plan.parameters, started)
    }

    /// D_C.
    fn batches(&self, job: Job) -> Result<Batches> {
        self.settings
            .batches(self.dataset, job.mixture, self.anchor, job.seed)
            .into_diagnostic()
    }

    fn train<O: Objective>(
        &self,
        job: Job,
        objective: &O,
        parameters: O::Parameters,
        batches: &Batches,
    ) -> Result<O::Parameters> {
        let mut config = self.settings.train.clone();
        config.seed = job.seed;
        let environment = Environment::new(self.device, None);
        let directory = self.directory.join(job.name());
        let identity = JobIdentity { job };
        let directory = RunDir::open(&directory, &identity, &environment).into_diagnostic()?;
        let batches = |number| Ok(batches.batch(number)?);
        let options = FitOptions {
            directory: Some(directory),
            ..FitOptions::default()
        };
        let mut display = RunDisplay::new(Display::Progress);
        let name = job.name();
        let trained = fit(
            &name,
            objective,
            parameters,
            config,
            options,
            &batches,
            &mut display,
        );
        trained.map(Trainer::into_parameters).into_diagnostic()
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
            let tokenizer = &self.anchor.tokenizer;
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
