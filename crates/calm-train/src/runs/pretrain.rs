//! Training a small Llama from random weights.

use std::path::PathBuf;

use burn::module::Module;
use calm_models::{Decoder, DecoderConfig, FrozenModel, SpecialIds, Tokenizer};
use serde::Serialize;

use super::config::PretrainConfig;
use super::data::TrainingData;
use super::estimate::Estimate;
use super::footprint::Footprint;
use super::record::RunRecord;
use super::training::{FitOptions, TrainingRun};
use super::{Observer, RunContext};
use crate::{LanguageModelling, TrainError};

/// Trains a small Llama from random weights.
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
    /// How it was trained.
    pub training: RunRecord,
}

/// A model that is trained from nothing.
#[derive(Debug, Serialize)]
struct PretrainIdentity<'a> {
    pretrained: Shape<'a>,
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

/// The model with random weights, and its data.
struct Prepared {
    tokenizer: Tokenizer,
    decoder: Decoder,
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
        let run = TrainingRun::new(&config.training, context, &config.out, true)?;
        Ok(Self { config, run })
    }

    /// Trains to the end, or goes on with the run in the output directory, and saves the model.
    ///
    /// # Errors
    ///
    /// As [`ComposeRun::run`](super::ComposeRun::run).
    pub fn run(&self, observer: &mut dyn Observer) -> Result<PretrainOutcome, TrainError> {
        let Prepared {
            tokenizer,
            decoder,
            data,
        } = self.prepare(false, observer)?;
        let objective = LanguageModelling::default();
        let held_out = data.validation.as_ref();
        let validator = held_out.map(|data| data.validator(&objective, Decoder::clone));
        let options = FitOptions {
            validator: validator.transpose()?,
            ..FitOptions::default()
        };
        let config = &self.config;
        let subject = PretrainIdentity {
            pretrained: Shape {
                vocab_size: tokenizer.vocab_size(),
                blocks: config.blocks,
                d_model: config.d_model,
                heads: config.heads,
                context: config.context,
                eos: &config.eos,
                tokenizer_sha256: tokenizer.sha256(),
            },
        };
        let (run, identity) = (&self.run, self.run.identity("pretrain", &data, subject));
        let (decoder, training) =
            run.run(&objective, decoder, &data, options, &identity, observer)?;
        FrozenModel::new(decoder, tokenizer).save(&run.out, config.stored_type())?;
        let out = run.out.clone();
        Ok(PretrainOutcome { out, training })
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
        let Prepared { decoder, data, .. } = self.prepare(true, observer)?;
        let footprint = Footprint::of_decoder(&decoder, decoder.num_params());
        let objective = LanguageModelling::default();
        let estimate = Estimate::new(&self.run, &objective, decoder, &data, &footprint)?;
        let mut config = self.config.clone();
        let warmup = self.run.train.warmup_steps;
        config.training.optimizer.warmup_steps.get_or_insert(warmup);
        Ok((estimate, config))
    }

    fn prepare(
        &self,
        is_described: bool,
        observer: &mut dyn Observer,
    ) -> Result<Prepared, TrainError> {
        let tokenizer = Tokenizer::load(&self.config.tokenizer)?;
        let end_of_text = self.end_of_text(&tokenizer)?;
        let config = self.decoder_config(&tokenizer, end_of_text)?;
        let data = self.run.read_data(
            &tokenizer,
            &config.special,
            end_of_text,
            self.config.context,
            is_described,
            observer,
        )?;
        let device = self.run.context.device.clone().autodiff();
        let decoder = Decoder::untrained(&config, self.run.context.seed, &device);
        Ok(Prepared {
            tokenizer,
            decoder,
            data,
        })
    }

    fn decoder_config(
        &self,
        tokenizer: &Tokenizer,
        end_of_text: u32,
    ) -> Result<DecoderConfig, TrainError> {
        let PretrainConfig {
            d_model,
            blocks,
            heads,
            context,
            ..
        } = self.config;
        let mut config = DecoderConfig::llama(tokenizer.vocab_size(), d_model, blocks, heads);
        config.context_length = context;
        config.special = SpecialIds {
            bos: tokenizer.token_id("<s>"),
            eos: vec![end_of_text],
            pad: tokenizer.token_id("<pad>"),
        };
        config.validate()?;
        Ok(config)
    }

    fn end_of_text(&self, tokenizer: &Tokenizer) -> Result<u32, TrainError> {
        let eos = &self.config.eos;
        tokenizer
            .token_id(eos)
            .ok_or_else(|| TrainError::Malformed {
                path: self.config.tokenizer.clone(),
                reason: format!(
                    "has no token '{eos}' to end a text with; name the one that it has with --eos"
                ),
            })
    }
}
