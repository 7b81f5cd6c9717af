//! Training a small model: a Llama from random weights, or a checkpoint that goes on being trained.

use calm_models::{Decoder, DecoderConfig, FrozenModel, SpecialIds, Tokenizer};
use serde::Serialize;

use super::config::PretrainConfig;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::finetune::{FinetuneRun, check_context};
use super::plan::TextPlan;
use super::record::ModelOutcome;
use super::training::TrainingRun;
use super::tuning::Tuning;
use super::{Observer, RunContext};
use crate::{ReferenceModel, TrainError};

/// Trains a small Llama from random weights; with `from`, it is a [`FinetuneRun`].
#[derive(Debug)]
pub struct PretrainRun {
    config: PretrainConfig,
    kind: Kind,
}

/// The beginning of a run.
#[derive(Debug)]
enum Kind {
    Fresh(Box<TrainingRun>),
    Finetuning(Box<FinetuneRun>),
}

/// A model of random weights.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum PretrainIdentity<'a> {
    Pretrained(Shape<'a>),
}

#[derive(Debug, Serialize)]
struct Shape<'a> {
    vocab_size: usize,
    blocks: usize,
    d_model: usize,
    heads: usize,
    context: usize,
    eos: &'a str,
    tokenizer_sha256: &'a str,
}

/// The training of a model that begins with random weights.
struct Fresh<'a> {
    config: &'a PretrainConfig,
    run: &'a TrainingRun,
    model: FrozenModel,
    context: usize,
    data: TrainingData,
}

impl PretrainRun {
    /// Checks all settings that need no file. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] naming the setting, or the directory, that cannot be used.
    pub fn new(config: PretrainConfig, context: RunContext) -> Result<Self, TrainError> {
        config.validate()?;
        let kind = match config.finetuning() {
            Some(config) => Kind::Finetuning(Box::new(FinetuneRun::new(config, context)?)),
            None => {
                let (training, out) = (&config.training, &config.out);
                Kind::Fresh(Box::new(TrainingRun::new(training, context, out, true)?))
            }
        };
        Ok(Self { config, kind })
    }

    /// Trains to the end, or goes on with the run in the output directory, and saves the model.
    ///
    /// # Errors
    ///
    /// As [`ComposeRun::run`](super::ComposeRun::run).
    pub fn run(&self, observer: &mut dyn Observer) -> Result<ModelOutcome, TrainError> {
        match &self.kind {
            Kind::Fresh(run) => Fresh::prepare(&self.config, run, false, observer)?.train(observer),
            Kind::Finetuning(run) => run.run(observer),
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
    ) -> Result<(Estimate, PretrainConfig), TrainError> {
        let mut config = self.config.clone();
        config.dtype = config.stored_type().into();
        let estimate = match &self.kind {
            Kind::Fresh(run) => {
                let fresh = Fresh::prepare(&self.config, run, true, observer)?;
                let data = &fresh.data;
                config.context = Some(fresh.context);
                config
                    .training
                    .resolve_open(&data.settings, data.held_out_share());
                fresh.tuning().estimate(data)?
            }
            Kind::Finetuning(run) => {
                let (estimate, resolved) = run.estimate(observer)?;
                config.context = resolved.context;
                config.pack = resolved.pack;
                config.training = resolved.training;
                estimate
            }
        };
        Ok((estimate, config))
    }
}

impl<'a> Fresh<'a> {
    fn prepare(
        config: &'a PretrainConfig,
        run: &'a TrainingRun,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let tokenizer = Tokenizer::load(&config.tokenizer)?;
        let end_of_text = config.end_of_text(&tokenizer)?;
        let decoder = config.decoder(&tokenizer, end_of_text)?;
        let decoder = Decoder::untrained(&decoder, run.context.seed, &run.context.device);
        let model = FrozenModel::new(decoder, tokenizer);
        let longest = model.config().context_length;
        let context = check_context(config.context.unwrap_or(longest), longest)?;
        let plan = TextPlan {
            tokenizer: &model.tokenizer,
            special: &model.special,
            end_of_text,
            context,
            is_packed: config.pack,
            chat: None,
            mask_field: None,
        };
        let data = run.read_data(&plan, is_described, observer)?;
        Ok(Self {
            config,
            run,
            model,
            context,
            data,
        })
    }

    fn train(&self, observer: &mut dyn Observer) -> Result<ModelOutcome, TrainError> {
        let (tuning, data) = (self.tuning(), &self.data);
        let identity = self.run.identity("pretrain", data, self.subject());
        let training = tuning.run(data, &identity, self.config.stored_type(), observer)?;
        Ok(ModelOutcome {
            out: self.run.out.clone(),
            from: None,
            rank: None,
            trained_parameters: tuning.trained_parameters(),
            training,
        })
    }

    fn tuning(&self) -> Tuning<'_> {
        Tuning {
            run: self.run,
            model: &self.model,
            lora: None,
            begins_as: ReferenceModel::UntrainedModel,
        }
    }

    fn subject(&self) -> PretrainIdentity<'_> {
        let (config, tokenizer) = (self.config, &self.model.tokenizer);
        PretrainIdentity::Pretrained(Shape {
            vocab_size: tokenizer.vocab_size(),
            blocks: config.blocks(),
            d_model: config.d_model(),
            heads: config.heads(),
            context: self.context,
            eos: config.eos(),
            tokenizer_sha256: tokenizer.sha256(),
        })
    }
}

impl PretrainConfig {
    /// A Llama for the texts of a tokenizer.
    fn decoder(
        &self,
        tokenizer: &Tokenizer,
        end_of_text: u32,
    ) -> Result<DecoderConfig, TrainError> {
        let (width, blocks, heads) = (self.d_model(), self.blocks(), self.heads());
        let mut config = DecoderConfig::llama(tokenizer.vocab_size(), width, blocks, heads);
        config.context_length = self.context.unwrap_or(FRESH_CONTEXT);
        config.special = SpecialIds {
            bos: tokenizer.token_id("<s>"),
            eos: vec![end_of_text],
            pad: tokenizer.token_id("<pad>"),
        };
        config.validate()?;
        Ok(config)
    }

    fn end_of_text(&self, tokenizer: &Tokenizer) -> Result<u32, TrainError> {
        let eos = self.eos();
        tokenizer
            .token_id(eos)
            .ok_or_else(|| TrainError::Malformed {
                path: self.tokenizer.clone(),
                reason: format!(
                    "has no token '{eos}' to end a text with; name the one that it has with --eos"
                ),
            })
    }
}

/// Tokens that a fresh model reads unless told otherwise.
const FRESH_CONTEXT: usize = 128;
