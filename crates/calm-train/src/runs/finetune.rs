//! Training a checkpoint further: all of its weights, or low-rank adapters that become part of them.

use calm_backend::FloatType;
use calm_compose::{LoadedModel, LoraPlan};
use calm_models::{Decoder, Fetching, LoadOptions, ModelSource, Strictness};
use serde::Serialize;

use super::config::{Baseline, FinetuneConfig, TunedWeights};
use super::data::TrainingData;
use super::estimate::Estimate;
use super::plan::TextPlan;
use super::record::{BaseModel, ModelOutcome, RunIdentity};
use super::training::TrainingRun;
use super::tuning::Tuning;
use super::{Observer, RunContext, RunEvent, end_of_text};
use crate::{ChatTokenizer, ReferenceModel, TrainError};

/// Trains a checkpoint further: low-rank adapters, which are merged into its weights at the end, or
/// all weights.
///
/// ```no_run
/// use std::ops::ControlFlow;
///
/// use calm_train::runs::{FinetuneConfig, FinetuneRun, RunContext, RunEvent, TunedWeights};
///
/// let mut config = FinetuneConfig {
///     from: Some("hf:HuggingFaceTB/SmolLM2-135M".parse()?),
///     out: "specialist".into(),
///     tuned: TunedWeights::LoraRank(8),
///     ..FinetuneConfig::default()
/// };
/// config.training.train = "notes.jsonl".into();
/// let run = FinetuneRun::new(config, RunContext::new(calm_backend::device("auto")?, 0))?;
/// let outcome = run.run(&mut |event: RunEvent<'_>| {
///     if let RunEvent::Step(metrics) = event {
///         println!("{}: {}", metrics.step, metrics.loss);
///     }
///     ControlFlow::Continue(())
/// })?;
/// println!("{} parameters were trained", outcome.trained_parameters);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FinetuneRun {
    config: FinetuneConfig,
    run: TrainingRun,
    /// The composition's baseline that this is, if it is one.
    baseline: Option<Baseline>,
}

/// Model and weights that are trained. The place of the model's files is no part of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum FinetuneIdentity<'a> {
    Specialised {
        weights_sha256: &'a str,
        tokenizer_sha256: &'a str,
        context: usize,
        rank: Option<usize>,
    },
    Lora(AnchorIdentity<'a>),
    Finetune(AnchorIdentity<'a>),
}

#[derive(Debug, Serialize)]
struct AnchorIdentity<'a> {
    anchor_sha256: &'a str,
    rank: Option<usize>,
}

/// Adapters on a model, and its data.
struct Prepared {
    lora: Option<LoraPlan>,
    context: usize,
    data: TrainingData,
}

impl FinetuneRun {
    /// Checks all settings that need no file. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] naming the setting, or the directory, that cannot be used.
    pub fn new(config: FinetuneConfig, context: RunContext) -> Result<Self, TrainError> {
        config.validate()?;
        let config = config.with_defaults();
        let run = TrainingRun::new(&config.training, context, &config.out, true)?;
        Ok(Self {
            config,
            run,
            baseline: None,
        })
    }

    /// The training of a composition's anchor in place of its bridges.
    pub(super) fn of_baseline(
        baseline: Baseline,
        config: FinetuneConfig,
        run: TrainingRun,
    ) -> Self {
        Self {
            config,
            run,
            baseline: Some(baseline),
        }
    }

    /// Trains to the end, or goes on with the run in the output directory, and saves the model.
    ///
    /// # Errors
    ///
    /// As [`ComposeRun::run`](super::ComposeRun::run).
    pub fn run(&self, observer: &mut dyn Observer) -> Result<ModelOutcome, TrainError> {
        self.run_on(&self.load(observer)?, observer)
    }

    /// The same with a model that is loaded, in the type that it is trained in.
    pub(super) fn run_on(
        &self,
        model: &LoadedModel,
        observer: &mut dyn Observer,
    ) -> Result<ModelOutcome, TrainError> {
        let prepared = self.prepare(model, false, observer)?;
        let base = BaseModel::of(model)?;
        let tuning = self.tuning(model, &prepared);
        let (data, rank) = (&prepared.data, prepared.lora.map(|plan| plan.rank));
        let identity = self.identity(&base, &prepared);
        let training = tuning.run(data, &identity, self.config.stored_type(), observer)?;
        Ok(ModelOutcome {
            out: self.run.out.clone(),
            rank,
            trained_parameters: tuning.trained_parameters(),
            from: Some(base),
            training,
        })
    }

    /// Size, memory and time of the run, by arithmetic and a few steps, and the settings with values
    /// for those that were left open. Nothing is written.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn estimate(
        &self,
        observer: &mut dyn Observer,
    ) -> Result<(Estimate, FinetuneConfig), TrainError> {
        self.estimate_on(&self.load(observer)?, observer)
    }

    pub(super) fn estimate_on(
        &self,
        model: &LoadedModel,
        observer: &mut dyn Observer,
    ) -> Result<(Estimate, FinetuneConfig), TrainError> {
        let prepared = self.prepare(model, true, observer)?;
        let data = &prepared.data;
        let estimate = self.tuning(model, &prepared).estimate(data)?;
        let mut config = self.config.clone();
        config.context = Some(prepared.context);
        config.dtype = config.stored_type().into();
        config
            .training
            .resolve_open(&data.settings, data.held_out_share());
        Ok((estimate, config))
    }

    fn load(&self, observer: &mut dyn Observer) -> Result<LoadedModel, TrainError> {
        let mut fetched = |fetching: Fetching<'_>| {
            let _ = observer.observe(RunEvent::Fetching(fetching));
        };
        let options = LoadOptions {
            device: self.run.context.device.clone(),
            dtype: FloatType::F32.into(),
            strictness: Strictness::lenient(self.config.lenient),
            ..LoadOptions::default()
        };
        let source: &ModelSource = self.config.from.as_ref().expect("it is required");
        let files = source.resolve(&[], &mut fetched)?;
        Ok(LoadedModel::from_files(files, &options)?)
    }

    fn prepare(
        &self,
        model: &LoadedModel,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<Prepared, TrainError> {
        let end_of_text = end_of_text(&model.model, &model.files.path)?;
        let chat = ChatTokenizer::of_model(model, end_of_text);
        let (frozen, is_packed) = (&model.model, self.config.pack);
        let context = self.context(frozen.config().context_length)?;
        let lora = self.lora(&frozen.decoder)?;
        let plan = TextPlan {
            tokenizer: &frozen.tokenizer,
            special: &frozen.special,
            end_of_text,
            context,
            is_packed,
            chat: Some(&chat),
            mask_field: None,
        };
        let data = self.run.read_data(&plan, is_described, observer)?;
        Ok(Prepared {
            lora,
            context,
            data,
        })
    }

    /// Tokens of a row, of a model that reads up to `longest`.
    fn context(&self, longest: usize) -> Result<usize, TrainError> {
        let usual = match self.config.pack {
            true => longest.min(PACKED_CONTEXT),
            false => longest,
        };
        check_context(self.config.context.unwrap_or(usual), longest)
    }

    fn lora(&self, decoder: &Decoder) -> Result<Option<LoraPlan>, TrainError> {
        let widest = decoder.config().d_model;
        match self.config.tuned {
            TunedWeights::All => Ok(None),
            TunedWeights::LoraParameters(count) => Ok(Some(LoraPlan::near(decoder, count)?)),
            TunedWeights::LoraRank(rank) if rank > widest => {
                let reason = format!("has rank {rank}; the model's width is {widest}, give less");
                Err(TrainError::setting("lora", reason))
            }
            TunedWeights::LoraRank(rank) => Ok(Some(LoraPlan::of_rank(decoder, rank))),
        }
    }

    fn tuning<'a>(&'a self, model: &'a LoadedModel, prepared: &Prepared) -> Tuning<'a> {
        Tuning {
            run: &self.run,
            model: &model.model,
            lora: prepared.lora,
            begins_as: match self.baseline {
                Some(_) => ReferenceModel::AnchorAlone,
                None => ReferenceModel::ModelBefore,
            },
        }
    }

    fn identity<'a>(
        &self,
        base: &'a BaseModel,
        prepared: &Prepared,
    ) -> RunIdentity<FinetuneIdentity<'a>> {
        let rank = prepared.lora.map(|plan| plan.rank);
        let weights_sha256 = base.weights_sha256.as_str();
        let anchor = AnchorIdentity {
            anchor_sha256: weights_sha256,
            rank,
        };
        let (name, subject) = match self.baseline {
            None => {
                let specialised = FinetuneIdentity::Specialised {
                    weights_sha256,
                    tokenizer_sha256: &base.tokenizer_sha256,
                    context: prepared.context,
                    rank,
                };
                ("pretrain", specialised)
            }
            Some(Baseline::Lora) => ("lora", FinetuneIdentity::Lora(anchor)),
            Some(Baseline::Finetune) => ("finetune", FinetuneIdentity::Finetune(anchor)),
        };
        self.run.identity(name, &prepared.data, subject)
    }
}

/// Tokens of a row, checked against what a model can read.
pub(super) fn check_context(context: usize, longest: usize) -> Result<usize, TrainError> {
    if (1..=longest).contains(&context) {
        return Ok(context);
    }
    let reason = format!("is {context}; the model reads 1 to {longest} tokens");
    Err(TrainError::setting("context", reason))
}

/// Tokens of a packed row of a model that reads more, unless told otherwise.
const PACKED_CONTEXT: usize = 512;
