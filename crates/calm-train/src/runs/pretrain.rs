//! Training a small model: a Llama from random weights, or a checkpoint that goes on being trained.

use std::path::PathBuf;

use calm_backend::FloatType;
use calm_compose::{LoadedModel, LoraPlan};
use calm_models::{
    Decoder, DecoderConfig, Fetching, FrozenModel, LoadOptions, ModelSource, SpecialIds,
    Strictness, Tokenizer,
};
use serde::Serialize;

use super::config::PretrainConfig;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::plan::TextPlan;
use super::record::RunRecord;
use super::training::TrainingRun;
use super::tuning::Tuning;
use super::{Observer, RunContext, RunEvent, end_of_text};
use crate::{ChatTokenizer, ReferenceModel, TrainError};

/// Trains a small Llama from random weights, or goes on training a checkpoint.
#[derive(Debug)]
pub struct PretrainRun {
    config: PretrainConfig,
    run: TrainingRun,
}

/// The result of a [`PretrainRun`].
#[derive(Debug, Clone, Serialize)]
pub struct PretrainOutcome {
    /// Directory of the checkpoint.
    pub out: PathBuf,
    /// The model that training began with, unless its weights were random.
    pub from: Option<BaseModel>,
    /// Rank of the adapters that are merged into the weights, if not all weights were trained.
    pub rank: Option<usize>,
    /// Parameters that were trained.
    pub trained_parameters: usize,
    /// How it was trained.
    pub training: RunRecord,
}

/// A model that training begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseModel {
    /// Its name.
    pub source: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// SHA-256 of its tokenizer.
    pub tokenizer_sha256: String,
}

/// The beginning of a run, and what is trained of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum PretrainIdentity<'a> {
    /// A model from nothing.
    Pretrained(Shape<'a>),
    /// A checkpoint.
    Specialised(Specialised<'a>),
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

/// The place of the checkpoint's files is no part of it.
#[derive(Debug, Serialize)]
struct Specialised<'a> {
    weights_sha256: &'a str,
    tokenizer_sha256: &'a str,
    context: usize,
    rank: Option<usize>,
}

/// The model as it begins, and its data.
struct Prepared {
    model: FrozenModel,
    base: Option<BaseModel>,
    lora: Option<LoraPlan>,
    context: usize,
    data: TrainingData,
}

/// A model, and the token that ends its texts.
struct Beginning {
    model: FrozenModel,
    base: Option<BaseModel>,
    end_of_text: u32,
    /// Its chat template.
    chat: Option<ChatTokenizer>,
}

impl PretrainRun {
    /// Checks all settings that need no file. Nothing is written yet.
    ///
    /// # Errors
    ///
    /// [`TrainError`] naming the setting, or the directory, that cannot be used.
    pub fn new(config: PretrainConfig, context: RunContext) -> Result<Self, TrainError> {
        config.validate()?;
        let config = config.with_defaults();
        let run = TrainingRun::new(&config.training, context, &config.out, true)?;
        Ok(Self { config, run })
    }

    /// Trains to the end, or goes on with the run in the output directory, and saves the model.
    ///
    /// # Errors
    ///
    /// As [`ComposeRun::run`](super::ComposeRun::run).
    pub fn run(&self, observer: &mut dyn Observer) -> Result<PretrainOutcome, TrainError> {
        let prepared = self.prepare(false, observer)?;
        let (subject, tuning) = (self.subject(&prepared), self.tuning(&prepared));
        let data = &prepared.data;
        let identity = self.run.identity("pretrain", data, subject);
        let training = tuning.run(data, &identity, self.config.stored_type(), observer)?;
        Ok(PretrainOutcome {
            out: self.run.out.clone(),
            rank: prepared.lora.map(|plan| plan.rank),
            trained_parameters: tuning.trained_parameters(),
            from: prepared.base,
            training,
        })
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
        let prepared = self.prepare(true, observer)?;
        let estimate = self.tuning(&prepared).estimate(&prepared.data)?;
        let mut config = self.config.clone();
        config.context = Some(prepared.context);
        config.dtype = config.stored_type().into();
        config.training.resolve_open(&prepared.data);
        Ok((estimate, config))
    }

    fn tuning<'a>(&'a self, prepared: &'a Prepared) -> Tuning<'a> {
        Tuning {
            run: &self.run,
            model: &prepared.model,
            lora: prepared.lora,
            begins_as: match prepared.base {
                Some(_) => ReferenceModel::ModelBefore,
                None => ReferenceModel::UntrainedModel,
            },
        }
    }

    fn subject<'a>(&'a self, prepared: &'a Prepared) -> PretrainIdentity<'a> {
        let (config, context) = (&self.config, prepared.context);
        match &prepared.base {
            Some(base) => PretrainIdentity::Specialised(Specialised {
                weights_sha256: &base.weights_sha256,
                tokenizer_sha256: &base.tokenizer_sha256,
                context,
                rank: prepared.lora.map(|plan| plan.rank),
            }),
            None => PretrainIdentity::Pretrained(Shape {
                vocab_size: prepared.model.tokenizer.vocab_size(),
                blocks: config.blocks(),
                d_model: config.d_model(),
                heads: config.heads(),
                context,
                eos: config.eos(),
                tokenizer_sha256: prepared.model.tokenizer.sha256(),
            }),
        }
    }

    fn prepare(
        &self,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<Prepared, TrainError> {
        let Beginning {
            model,
            base,
            end_of_text,
            chat,
        } = match &self.config.from {
            Some(source) => self.load(source, observer)?,
            None => self.untrained()?,
        };
        let context = self.context(&model)?;
        let lora = self.lora(&model)?;
        let plan = TextPlan {
            tokenizer: &model.tokenizer,
            special: &model.special,
            end_of_text,
            context,
            is_packed: self.config.pack,
            chat: chat.as_ref(),
        };
        let data = self.run.read_data(&plan, is_described, observer)?;
        Ok(Prepared {
            model,
            base,
            lora,
            context,
            data,
        })
    }

    /// The model that `--from` names, in the type that it is trained in.
    fn load(
        &self,
        source: &ModelSource,
        observer: &mut dyn Observer,
    ) -> Result<Beginning, TrainError> {
        let mut fetched = |fetching: Fetching<'_>| {
            let _ = observer.observe(RunEvent::Fetching(fetching));
        };
        let options = LoadOptions {
            device: self.run.context.device.clone(),
            dtype: FloatType::F32.into(),
            strictness: Strictness::lenient(self.config.lenient),
            ..LoadOptions::default()
        };
        let loaded = LoadedModel::from_files(source.resolve(&[], &mut fetched)?, &options)?;
        let end_of_text = end_of_text(&loaded.model, &loaded.files.path)?;
        let chat = ChatTokenizer::of_model(&loaded, end_of_text);
        let (model, files) = (loaded.model, loaded.files);
        Ok(Beginning {
            end_of_text,
            chat: Some(chat),
            base: Some(BaseModel {
                source: files.source.to_string(),
                weights_sha256: model.weights_sha256()?.to_owned(),
                tokenizer_sha256: model.tokenizer.sha256().to_owned(),
            }),
            model,
        })
    }

    /// A Llama with random weights.
    fn untrained(&self) -> Result<Beginning, TrainError> {
        let tokenizer = Tokenizer::load(&self.config.tokenizer)?;
        let end_of_text = self.end_of_text(&tokenizer)?;
        let config = self.decoder_config(&tokenizer, end_of_text)?;
        let (seed, device) = (self.run.context.seed, &self.run.context.device);
        let decoder = Decoder::untrained(&config, seed, device);
        Ok(Beginning {
            model: FrozenModel::new(decoder, tokenizer),
            base: None,
            end_of_text,
            chat: None,
        })
    }

    fn decoder_config(
        &self,
        tokenizer: &Tokenizer,
        end_of_text: u32,
    ) -> Result<DecoderConfig, TrainError> {
        let (width, blocks, heads) = (
            self.config.d_model(),
            self.config.blocks(),
            self.config.heads(),
        );
        let mut config = DecoderConfig::llama(tokenizer.vocab_size(), width, blocks, heads);
        config.context_length = self.config.context.unwrap_or(FRESH_CONTEXT);
        config.special = SpecialIds {
            bos: tokenizer.token_id("<s>"),
            eos: vec![end_of_text],
            pad: tokenizer.token_id("<pad>"),
        };
        config.validate()?;
        Ok(config)
    }

    fn end_of_text(&self, tokenizer: &Tokenizer) -> Result<u32, TrainError> {
        let eos = self.config.eos();
        tokenizer
            .token_id(eos)
            .ok_or_else(|| TrainError::Malformed {
                path: self.config.tokenizer.clone(),
                reason: format!(
                    "has no token '{eos}' to end a text with; name the one that it has with --eos"
                ),
            })
    }

    /// Tokens of a row.
    fn context(&self, model: &FrozenModel) -> Result<usize, TrainError> {
        let longest = model.config().context_length;
        let context = self.config.context;
        match context.unwrap_or(longest.min(TUNED_CONTEXT)) {
            context if (1..=longest).contains(&context) => Ok(context),
            context => {
                let reason = format!("is {context}; the model reads 1 to {longest} tokens");
                Err(TrainError::setting("context", reason))
            }
        }
    }

    fn lora(&self, model: &FrozenModel) -> Result<Option<LoraPlan>, TrainError> {
        let Some(rank) = self.config.lora else {
            return Ok(None);
        };
        let widest = model.config().d_model;
        if rank > widest {
            let reason = format!("has rank {rank}; the model's width is {widest}, give less");
            return Err(TrainError::setting("lora", reason));
        }
        Ok(Some(LoraPlan::of_rank(&model.decoder, rank)))
    }
}

/// Tokens that a fresh model reads unless told otherwise.
const FRESH_CONTEXT: usize = 128;
/// Tokens of a row of a model that was loaded and reads more, unless told otherwise.
const TUNED_CONTEXT: usize = 512;
