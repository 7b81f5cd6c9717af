//! Training the bridges of a composition.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use calm_backend::FloatType;
use calm_compose::{
    Bridges, ComposedModel, Composition, CompositionFile, FrozenParts, LoadedModel,
    LocatedComposition, ModelSources, RowTokens, TrainingRecord,
};
use calm_models::{Decoder, Fetching, LoadOptions, ModelFiles, ModelSource, Strictness};

use super::bridges::{BridgeTrainingConfig, calibrated, continued};
use super::config::{Baseline, ComposeConfig, FinetuneConfig, TrainingConfig, TunedWeights};
use super::data::TrainingData;
use super::estimate::Estimate;
use super::finetune::FinetuneRun;
use super::flops::{Read, TrainingFlops, mean_seen};
use super::footprint::Footprint;
use super::masking::MaskingRecord;
use super::plan::TextPlan;
use super::ranks::{self, LocalDevices};
use super::record::{
    AddedParameters, BaselineOutcome, BridgeIdentity, BridgeRecord, ComposedIdentity, RunIdentity,
    RunRecord,
};
use super::reference::{of_decoder, of_objective};
use super::training::{FitOptions, KeepRecord, TrainingRun};
use super::{Observer, RunContext, RunEvent, end_of_text};
use crate::{
    ActivationCache, ActivationStatistics, BridgeTraining, ChatTokenizer, Ranks, Reference,
    ReferenceModel, TrainError, WorkerServer,
};

/// Trains the bridges of a composition (section 3.1 of the paper), or a baseline in their place.
#[derive(Debug)]
pub struct ComposeRun {
    config: ComposeConfig,
    run: TrainingRun,
}

/// The result of a [`ComposeRun`].
#[derive(Debug)]
pub enum ComposeOutcome {
    /// The composition, which is saved in the output directory.
    Composed {
        /// Frozen models and trained bridges.
        composition: Box<Composition>,
        /// How they were trained.
        record: Box<BridgeRecord>,
    },
    /// The baseline, which is saved in the output directory.
    Baseline(Box<BaselineOutcome>),
    /// The run of another process is over, for which this process worked.
    Served {
        /// Address at which it listened.
        address: SocketAddr,
    },
}

impl ComposeRun {
    /// Checks all settings that need no model. Nothing is loaded or written yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] naming the setting, or the directory, that cannot be used.
    pub fn new(config: ComposeConfig, context: RunContext) -> Result<Self, TrainError> {
        config.validate()?;
        let writes = !config.ranks.is_listening();
        let run = TrainingRun::new(&config.training, context, &config.out, writes)?;
        Ok(Self { config, run })
    }

    /// Directory of the result.
    pub fn out(&self) -> &Path {
        &self.run.out
    }

    /// Trains to the end, or goes on with the run in the output directory, and saves the result.
    ///
    /// # Errors
    ///
    /// [`TrainError`] for models and data that cannot be used, [`TrainError::Interrupted`] if the
    /// observer breaks off, and those of [`Trainer::run`](crate::Trainer::run).
    pub fn run(&self, observer: &mut dyn Observer) -> Result<ComposeOutcome, TrainError> {
        let server = self.config.ranks.bind()?;
        if let Some(kind) = self.config.baseline {
            let outcome = self.run_baseline(kind, observer)?;
            return Ok(ComposeOutcome::Baseline(Box::new(outcome)));
        }
        let prepared = self.prepare(false, observer)?;
        let job = self.job(&prepared, false, observer)?;
        match &server {
            Some(server) => job.serve(server, observer),
            None => job.train(observer),
        }
    }

    /// Size, memory and time of the run, by arithmetic and a few steps. Nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn estimate(
        &self,
        observer: &mut dyn Observer,
    ) -> Result<(Estimate, ComposeConfig), TrainError> {
        if let Some(kind) = self.config.baseline {
            let models = self.load(&self.run.context.device, observer)?;
            let run = self.baseline(kind, &models);
            let (estimate, resolved) = run.estimate_on(&models.composition.anchor, observer)?;
            return Ok((estimate, self.resolved(&models, resolved.training)));
        }
        let prepared = self.prepare(true, observer)?;
        let estimate = self.job(&prepared, true, observer)?.estimate()?;
        let (data, mut training) = (&prepared.data, self.config.training.clone());
        training.resolve_open(&data.settings, data.held_out_share());
        Ok((estimate, self.resolved(&prepared.models, training)))
    }

    /// The settings with values for those that were left open. Those of a composition that is
    /// extended come with it.
    fn resolved(&self, models: &Models, training: TrainingConfig) -> ComposeConfig {
        let mut config = ComposeConfig {
            training,
            ..self.config.clone()
        };
        let mut types = models.parts().compute_types();
        if let Some(dtype) = types.next()
            && types.all(|other| other == dtype)
        {
            config.dtype = dtype.into();
        }
        let composition = &models.composition;
        if self.config.extend.is_none() && self.config.init_from.is_none() {
            config.bridges.heads = Some(composition.heads);
            if config.connections.is_empty() {
                let plans = composition.connections();
                config.connections = plans.map(|pairs| pairs.to_vec().into()).collect();
            }
        }
        config
    }

    /// Loads models and data.
    fn prepare(
        &self,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<Prepared, TrainError> {
        let local = self.config.ranks.local(&self.run.context)?;
        let models = self.load(local.main(), observer)?;
        let anchor = &models.composition.anchor;
        let end_of_text = end_of_text(&anchor.model, &anchor.files.path)?;
        let chat = ChatTokenizer::new(&models.composition, end_of_text);
        let plan = TextPlan {
            chat: Some(&chat),
            tokenizer: models.composition.tokenizer(),
            special: &anchor.model.special,
            end_of_text,
            context: models.composition.context_length(),
            is_packed: false,
            mask_field: self.config.masking.field(),
        };
        let mut data = self.run.read_data(&plan, is_described, observer)?;
        let (examples, seed) = (data.train.batches.examples(), self.run.context.seed);
        let masking = self.config.masking.open(examples, plan.tokenizer, seed)?;
        let (masking, masked) = masking.unzip();
        data.masking = masking;
        Ok(Prepared {
            local,
            models,
            data,
            masked,
            chat,
        })
    }

    /// Loads the frozen models and joins them by fresh bridges, behind those of the composition
    /// that is extended.
    fn load(&self, device: &Device, observer: &mut dyn Observer) -> Result<Models, TrainError> {
        let config = &self.config;
        let options = LoadOptions {
            device: device.clone(),
            dtype: config.compute_type(),
            strictness: Strictness::lenient(config.lenient),
            ..LoadOptions::default()
        };
        let mut fetched = |fetching: Fetching<'_>| {
            let _ = observer.observe(RunEvent::Fetching(fetching));
        };
        let located = match config.extend.as_ref().or(config.init_from.as_ref()) {
            None => None,
            Some(directory) => Some(LocatedComposition::find(
                directory,
                &ModelSources::default(),
                &mut fetched,
            )?),
        };
        let mut fetch = |source: &ModelSource| source.resolve(&[], &mut fetched);
        let anchor = match &config.anchor {
            Some(anchor) if located.is_none() => Some(fetch(anchor)?),
            _ => None,
        };
        let augmenting = config.augmenting.iter().map(&mut fetch);
        let augmenting: Vec<ModelFiles> = augmenting.collect::<Result<_, _>>()?;
        let augmenting_device = match &config.augmenting_device {
            Some(name) => calm_backend::device(name)?,
            None => device.clone(),
        };
        let before = located.as_ref().map(|located| located.file.clone());
        let (extended, continued) = match &config.init_from {
            None => (before, None),
            Some(directory) => (None, before.map(|file| (directory.clone(), file))),
        };
        let before = match (located, anchor) {
            (Some(located), _) => located.load(&options, &augmenting_device)?,
            (None, Some(files)) => {
                let anchor = LoadedModel::from_files(files, &options)?;
                Composition::new(anchor, Vec::new(), &config.composition(), 0)?
            }
            (None, None) => unreachable!("an anchor or a composition is required"),
        };
        let options = LoadOptions {
            device: augmenting_device,
            ..options
        };
        let augmenting = (0u64..).zip(augmenting).map(|(index, files)| {
            let model = LoadedModel::from_files(files, &options)?;
            Ok(match config.random_augmenting {
                Some(seed) => model.random_init_like(seed.wrapping_add(index)),
                None => model,
            })
        });
        let augmenting = augmenting.collect::<Result<Vec<_>, TrainError>>()?;
        let frozen_bridges = extended.is_some().then(|| before.model.bridges.clone());
        let new = augmenting.into_iter().zip(config.plans()?).collect();
        Ok(Models {
            composition: before.extend(new, self.run.context.seed)?,
            frozen_bridges,
            extended,
            continued,
        })
    }

    fn run_baseline(
        &self,
        kind: Baseline,
        observer: &mut dyn Observer,
    ) -> Result<BaselineOutcome, TrainError> {
        let (anchor, run, bridge_parameters) = {
            // The other models only tell how many parameters the bridges would have.
            let models = self.load(&self.run.context.device, observer)?;
            let bridges = models.composition.model.bridges.parameter_count();
            let run = self.baseline(kind, &models);
            (models.composition.anchor, run, bridges)
        };
        let trained = run.run_on(&anchor, observer)?;
        Ok(BaselineOutcome::new(kind, bridge_parameters, trained))
    }

    /// The training of the anchor in place of the bridges between these models.
    fn baseline(&self, kind: Baseline, models: &Models) -> FinetuneRun {
        let (config, composition) = (&self.config, &models.composition);
        let bridges = composition.model.bridges.parameter_count();
        let config = FinetuneConfig {
            from: config.anchor.clone(),
            out: config.out.clone(),
            tuned: match kind {
                Baseline::Lora => TunedWeights::LoraParameters(bridges),
                Baseline::Finetune => TunedWeights::All,
            },
            pack: false,
            // The examples that the bridges would be trained on.
            context: Some(composition.context_length()),
            dtype: FloatType::F32.into(),
            lenient: config.lenient,
            training: config.training.clone(),
        };
        FinetuneRun::of_baseline(kind, config, self.run.clone())
    }

    /// Everything that depends on models and data and is computed before the first step.
    fn job<'a>(
        &'a self,
        prepared: &'a Prepared,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<BridgeJob<'a>, TrainError> {
        let Prepared {
            local,
            models,
            data,
            chat,
            ..
        } = prepared;
        let tokens = data.train.read_by(models.parts(), chat)?;
        if let Some(masking) = &data.masking {
            masking.check_tokens(tokens.as_deref())?;
        }
        let (parts, fresh) = (models.new_parts(), models.fresh_bridges());
        let begin = match models.continued {
            Some(_) => continued,
            None => calibrated,
        };
        let bridges = begin(&parts, fresh, local.main(), &data.train.batches)?;
        let others = local.distinct[1..].iter();
        let others = others.map(|device| self.load(device, observer));
        let others = others.collect::<Result<Vec<Models>, _>>()?;
        let types = |models: &Models| FloatType::names(models.parts().compute_types());
        if let Some(other) = others.iter().find(|other| types(other) != types(models)) {
            let reason = format!(
                "is auto, by which one device computes in {} and another in {}; give one type for \
                 all",
                types(models),
                types(other)
            );
            return Err(TrainError::setting("dtype", reason));
        }
        let file = models.composition.file()?;
        let mut job = BridgeJob {
            of: self,
            config: BridgeTrainingConfig {
                train: data.settings.clone(),
                noise: self.config.noise,
                masking: data.masking.clone(),
                gradient_checkpointing: self.config.gradient_checkpointing,
                activations: self.config.activations.clone(),
            },
            prepared,
            others,
            tokens,
            bridges,
            file,
            caches: Vec::new(),
        };
        job.caches = job.open_caches(is_described)?;
        Ok(job)
    }
}

/// Models and data of a run.
struct Prepared {
    local: LocalDevices,
    models: Models,
    data: TrainingData,
    /// Record of the words that the anchor is not shown.
    masked: Option<MaskingRecord>,
    /// Chat templates of the models.
    chat: ChatTokenizer,
}

/// Frozen models on one device, with bridges that are to be trained.
struct Models {
    /// All models; the last bridges are fresh.
    composition: Composition,
    /// Bridges of the composition that is extended: of the first augmenting models.
    frozen_bridges: Option<Bridges>,
    /// Its description.
    extended: Option<CompositionFile>,
    /// Directory and description of the composition that is trained further.
    continued: Option<(PathBuf, CompositionFile)>,
}

impl Models {
    fn parts(&self) -> &FrozenParts {
        &self.composition.model.parts
    }

    /// Augmenting models whose bridges are not trained.
    fn frozen_count(&self) -> usize {
        self.frozen_bridges
            .as_ref()
            .map_or(0, |bridges| bridges.of.len())
    }

    /// The models whose bridges are trained.
    fn new_parts(&self) -> FrozenParts {
        FrozenParts {
            anchor: self.parts().anchor.clone(),
            augmenting: self.parts().augmenting[self.frozen_count()..].to_vec(),
        }
    }

    /// SHA-256 of the bridges that are trained further.
    fn continued_sha256(&self) -> Result<Option<String>, TrainError> {
        let Some((directory, _)) = &self.continued else {
            return Ok(None);
        };
        let bridges = directory.join("bridge.safetensors");
        Ok(Some(calm_files::sha256_file(&bridges)?))
    }

    /// Bridges that are trained.
    fn fresh_bridges(&self) -> Bridges {
        let of = self.composition.model.bridges.of[self.frozen_count()..].to_vec();
        Bridges { of }
    }

    /// Training of the new bridges. `tokens` are those that the augmenting models read of every
    /// example.
    fn objective<'a>(&'a self, tokens: Option<&'a [RowTokens]>) -> BridgeTraining<'a> {
        let mut objective = BridgeTraining::new(self.parts());
        if let Some(tokens) = tokens {
            objective = objective.with_tokens(tokens);
        }
        match &self.frozen_bridges {
            Some(frozen) => objective.with_frozen_bridges(frozen),
            None => objective,
        }
    }

    /// The composed model with new bridges, behind those that stay as they are.
    fn model(&self, new: Bridges) -> ComposedModel {
        let bridges = match &self.frozen_bridges {
            Some(frozen) => frozen.clone().followed_by(new),
            None => new,
        };
        let parts = self.parts().clone();
        ComposedModel { parts, bridges }
    }
}

/// Bridges that are ready to be trained.
struct BridgeJob<'a> {
    of: &'a ComposeRun,
    config: BridgeTrainingConfig,
    prepared: &'a Prepared,
    /// The same models on further devices.
    others: Vec<Models>,
    /// Tokens that the augmenting models read of every example, if they are not the anchor's.
    tokens: Option<Vec<RowTokens>>,
    /// Fresh bridges, calibrated.
    bridges: Bridges,
    /// Description of the composition.
    file: CompositionFile,
    /// Cached activations on every device.
    caches: Vec<Option<ActivationCache>>,
}

impl BridgeJob<'_> {
    fn everywhere(&self) -> impl Iterator<Item = &Models> {
        std::iter::once(&self.prepared.models).chain(&self.others)
    }

    fn open_caches(&self, is_described: bool) -> Result<Vec<Option<ActivationCache>>, TrainError> {
        let (batches, tokens) = (&self.prepared.data.train.batches, self.tokens.as_deref());
        let caches = self.everywhere().map(|models| {
            let parts = models.parts();
            self.config
                .open_cache(parts, &self.file, batches, tokens, is_described)
        });
        caches.collect()
    }

    /// The objective on every device.
    fn objectives(&self) -> Vec<BridgeTraining<'_>> {
        let objectives = self.everywhere().zip(&self.caches).map(|(models, cache)| {
            let objective = models.objective(self.tokens.as_deref());
            self.config.objective(objective, cache.as_ref())
        });
        objectives.collect()
    }

    /// Type in which the models compute; of each in turn if they differ.
    fn compute_type(&self) -> String {
        FloatType::names(self.prepared.models.parts().compute_types())
    }

    fn identity(&self) -> Result<RunIdentity<BridgeIdentity>, TrainError> {
        let (file, config) = (&self.file, &self.of.config);
        let augmenting = file.augmenting.iter();
        let dtype = self.compute_type();
        let composed = ComposedIdentity {
            anchor_sha256: file.anchor.weights_sha256.clone(),
            tokenizer_sha256: file.anchor.tokenizer_sha256.clone(),
            augmenting_sha256: augmenting
                .map(|model| model.weights_sha256.clone())
                .collect(),
            connections: file.connections.clone(),
            heads: file.heads,
            options: file.options,
            mode: file.mode,
            noise: config.noise,
            masking: self.prepared.masked.as_ref().map(MaskingRecord::identity),
            dtype: (dtype != FloatType::F32.name()).then_some(dtype),
        };
        let subject = BridgeIdentity {
            composed,
            extended: self.prepared.models.extended.clone(),
            continued: self.prepared.models.continued_sha256()?,
            output_units: self.bridges.output_units(),
            activations: config.activations.identity(),
        };
        let data = &self.prepared.data;
        Ok(self.of.run.identity("compose", data, subject))
    }

    fn estimate(&self) -> Result<Estimate, TrainError> {
        let models = &self.prepared.models;
        let composition = &models.composition;
        let parts = models.new_parts();
        let sets = parts.bridge_sets_with(composition.heads, composition.options);
        let augmenting: Vec<&Decoder> = models
            .parts()
            .augmenting
            .iter()
            .map(|m| &m.decoder)
            .collect();
        let cache = self
            .of
            .config
            .activations
            .memory_bytes(self.caches[0].as_ref());
        let trained = self.bridges.parameter_count();
        let footprint = Footprint::of_bridges(&parts.anchor, &augmenting, &sets, trained);
        let bridges = self.bridges.clone();
        let (objectives, data) = (self.objectives(), &self.prepared.data);
        Estimate::new(
            &self.of.run,
            &objectives[0],
            bridges,
            data,
            &footprint.with_cache(cache),
        )
    }

    fn serve(
        self,
        server: &WorkerServer,
        observer: &mut dyn Observer,
    ) -> Result<ComposeOutcome, TrainError> {
        let batches = |number| self.prepared.data.batch(number);
        let objectives = self.objectives();
        let own = (&self.prepared.local, objectives.as_slice());
        let bridges = self.bridges.clone();
        let address = ranks::serve(server, bridges, &self.identity()?, &batches, own, observer)?;
        Ok(ComposeOutcome::Served { address })
    }

    fn train(self, observer: &mut dyn Observer) -> Result<ComposeOutcome, TrainError> {
        let Prepared {
            local,
            models,
            data,
            chat,
            ..
        } = self.prepared;
        let held_out = data.validation.as_ref();
        let held_out_tokens = held_out.map(|held_out| held_out.data.read_by(models.parts(), chat));
        let held_out_tokens = held_out_tokens.transpose()?.flatten();
        let validated = models.objective(held_out_tokens.as_deref());
        let composed = |bridges: &Bridges| models.model(bridges.clone());
        let masking = data.masking.as_ref();
        let validator = held_out.map(|data| data.validator(&validated, composed, masking));
        let (objectives, identity) = (self.objectives(), self.identity()?);
        let ranks = &self.of.config.ranks;
        let ranks = ranks.connect(local, &objectives, &identity, data.settings.accumulation)?;
        let workers = ranks.as_ref().map(Ranks::names);
        let measured = models.objective(match held_out {
            Some(_) => held_out_tokens.as_deref(),
            None => self.tokens.as_deref(),
        });
        let options = FitOptions {
            validator: validator.transpose()?,
            ranks,
            references: self.references(&measured)?,
            ..FitOptions::default()
        };
        let bridges = self.bridges.clone();
        let (run, objective) = (&self.of.run, &objectives[0]);
        let keep = |bridges: &Bridges, record| {
            let saved = self.save(bridges.valid(), record, workers.clone());
            saved.map(drop)
        };
        let (begun, keep) = (
            (objective, bridges),
            Some(Box::new(keep) as KeepRecord<'_, _>),
        );
        let (bridges, record) = run.run(begun, data, options, &identity, keep, observer)?;
        self.save(bridges.valid(), record, workers.clone())
    }

    /// The anchor alone, and the composition as it is where there is one already.
    fn references<'b>(
        &'b self,
        measured: &'b BridgeTraining<'b>,
    ) -> Result<Vec<Reference<'b>>, TrainError> {
        let Prepared { models, data, .. } = self.prepared;
        let anchor = &models.parts().anchor;
        let alone = of_decoder(ReferenceModel::AnchorAlone, anchor, data.measured()?);
        let mut references = vec![alone];
        if models.extended.is_some() || models.continued.is_some() {
            let (model, data) = (ReferenceModel::CompositionBefore, data.measured()?);
            references.push(of_objective(model, measured, &self.bridges, data));
        }
        Ok(references)
    }

    /// Operations of all steps. What was found in the cache, if there is one, was not computed; of a
    /// run that went on, this process stands for all.
    fn flops(&self, run: &RunRecord, cached: Option<&ActivationStatistics>) -> Option<f64> {
        let Prepared { models, data, .. } = self.prepared;
        let (parts, composition) = (models.parts(), &models.composition);
        let examples = data.train.batches.examples();
        let of_anchor: usize = (0..examples.len())
            .map(|number| examples.tokens_of(number).saturating_sub(1))
            .sum();
        let tokens = |model: usize| match &self.tokens {
            None => 1.0,
            Some(rows) => {
                let counts = rows.iter().map(|row| row.node_counts()[model]);
                let own: Option<usize> = counts.sum();
                own.map_or(1.0, |own| own as f64 / of_anchor.max(1) as f64)
            }
        };
        let sets = parts.bridge_sets_with(composition.heads, composition.options);
        let read = parts.augmenting.iter().zip(&sets).enumerate();
        let read = read.map(|(number, (part, (bridge, connections)))| Read {
            model: part.decoder.config(),
            tokens: tokens(number),
            connections,
            bridge: *bridge,
        });
        let read: Vec<Read<'_>> = read.collect();
        let checkpointing = self.of.config.gradient_checkpointing;
        let (anchor, seen) = (parts.anchor.config(), mean_seen(data));
        let computed = cached.map_or(1.0, |cached| {
            let all = cached.computed + cached.reused;
            cached.computed as f64 / all.max(1) as f64
        });
        TrainingFlops::of_bridges(anchor, &read, seen, checkpointing).of_run(run, computed)
    }

    /// Saves the composition with trained bridges.
    fn save(
        &self,
        trained: Bridges,
        run: RunRecord,
        workers: Option<Vec<String>>,
    ) -> Result<ComposeOutcome, TrainError> {
        let (config, models) = (&self.of.config, &self.prepared.models);
        let mut composition = models.composition.clone();
        composition.model = models.model(trained);
        let bridges = &composition.model.bridges;
        let activations = self.caches[0].as_ref().map(ActivationCache::statistics);
        let record = BridgeRecord {
            run: RunRecord {
                flops: self.flops(&run, activations.as_ref()),
                ..run
            },
            device: calm_backend::device_name(self.prepared.local.main()),
            added_parameters: AddedParameters {
                stored: bridges.parameter_count(),
                paper: bridges.paper_parameter_count(),
            },
            noise: config.noise,
            masking: self.prepared.masked.clone(),
            dtype: self.compute_type(),
            activations,
            workers,
            extended: models.extended.as_ref().map(|file| file.training.clone()),
            continued: models
                .continued
                .as_ref()
                .map(|(_, file)| file.training.clone()),
        };
        composition.training = TrainingRecord::new(&record).expect("a record is plain data");
        composition.save(&config.out)?;
        Ok(ComposeOutcome::Composed {
            composition: Box::new(composition),
            record: Box::new(record),
        })
    }
}
