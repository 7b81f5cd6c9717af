//! `calm pretrain`: a small Llama from nothing.

use std::path::PathBuf;

use burn::module::Module;
use calm_lm::backend::FloatType;
use calm_lm::models::{Decoder, DecoderConfig, FrozenModel, SpecialIds, Tokenizer};
use calm_lm::train::LanguageModelling;
use clap::Args;
use serde_json::json;

use super::footprint::Footprint;
use super::training::{Helpers, TrainingArgs};
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  A model that knows the secret table of `calm data kv`:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist

  A deeper one that can do sums, taught for longer, stored in half precision:
    calm pretrain --train kv/numeric-arithmetic.all.jsonl \
        --tokenizer kv/tokenizer.json --blocks 6 --steps 5000 --dtype f16 --out anchor

  A very small one, to see that everything works:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --blocks 2 --d-model 32 --heads 2 \
        --steps 20 --out tiny

  See first what the run will be, and keep its flags in a file:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist --dry-run > specialist.toml
    calm pretrain --config specialist.toml --tui

  Go on with a run that was interrupted, with the flags that it was started with:
    calm pretrain --train kv/kv-substitution.all.jsonl \
        --tokenizer kv/tokenizer.json --out specialist --resume

DIR becomes a checkpoint that `transformers` opens too. The run itself (settings,
metrics of every step, checkpoints) is kept in DIR/run, which may be deleted once it
is done.";

#[derive(Debug, Args)]
pub(crate) struct PretrainArgs {
    /// Directory for the checkpoint
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Vocabulary, as a tokenizer.json of Hugging Face's library
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Number of blocks
    #[arg(long, value_name = "N", default_value_t = 4)]
    blocks: usize,
    /// Width of the hidden states
    #[arg(long, value_name = "N", default_value_t = 128)]
    d_model: usize,
    /// Attention heads, a divisor of the width
    #[arg(long, value_name = "N", default_value_t = 4)]
    heads: usize,
    /// Longest text that the model can read, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 128)]
    context: usize,
    /// Type that the weights are stored in: f32, f16 or bf16
    #[arg(long, value_name = "TYPE", default_value_t)]
    dtype: FloatType,
    /// Token that ends a text
    #[arg(long, value_name = "TOKEN", default_value = "</s>")]
    eos: String,
    #[command(flatten)]
    training: TrainingArgs,
}

impl PretrainArgs {
    fn config(&self, tokenizer: &Tokenizer) -> Result<DecoderConfig, Failure> {
        let divides = self.heads > 0 && self.d_model.is_multiple_of(self.heads);
        if !divides {
            let reason = format!(
                "{} heads do not divide the width {}; choose a divisor",
                self.heads, self.d_model
            );
            return Err(Failure::flag("--heads", reason));
        }
        let vocab_size = tokenizer.vocab_size();
        let mut config = DecoderConfig::llama(vocab_size, self.d_model, self.blocks, self.heads);
        config.context_length = self.context;
        config.special = SpecialIds {
            bos: tokenizer.token_id("<s>"),
            eos: vec![self.end_of_text(tokenizer)?],
            pad: tokenizer.token_id("<pad>"),
        };
        config.validate()?;
        Ok(config)
    }

    fn end_of_text(&self, tokenizer: &Tokenizer) -> Result<u32, Failure> {
        tokenizer.token_id(&self.eos).ok_or_else(|| {
            let reason = format!(
                "has no token '{}' to end a text with; name the one that it has with --eos",
                self.eos
            );
            Failure::path(&self.tokenizer, reason)
        })
    }
}

pub(super) fn run(args: &PretrainArgs, common: &Common) -> Result<Report, Failure> {
    let training = args.training.check(&args.out, common)?;
    let device = common.device()?.autodiff();
    let tokenizer = Tokenizer::load(&args.tokenizer)?;
    let config = args.config(&tokenizer)?;
    let end_of_text = args.end_of_text(&tokenizer)?;
    let data = training.read_data(&tokenizer, &config.special, end_of_text, args.context)?;

    let decoder = Decoder::untrained(&config, common.seed, &device);
    let what = json!({
        "pretrained": {
            "vocab_size": config.vocab_size,
            "blocks": config.block_count(),
            "d_model": config.d_model,
            "heads": config.heads(),
            "context": config.context_length,
            "eos": args.eos,
            "tokenizer_sha256": tokenizer.sha256(),
        },
    });
    let objective = LanguageModelling::default();
    if training.is_dry() {
        let footprint = Footprint::of_decoder(&decoder, decoder.num_params());
        return training.preview(&objective, decoder, &data, &footprint, Vec::new());
    }
    let validation = data.validation.as_ref();
    let validator = validation.map(|data| data.validator(&objective, Decoder::clone));
    let validator = validator.transpose()?;
    let helpers = Helpers {
        validator,
        crew: None,
    };
    let settings = training.settings(&data, &what);
    let trained = training.run("pretrain", &objective, decoder, &data, helpers, &settings)?;
    let model = FrozenModel::new(trained.parameters, tokenizer);
    model.save(&args.out, args.dtype)?;

    let training = trained.provenance;
    let text = table(&[
        ("written to", args.out.display().to_string()),
        ("final loss", training["final_loss"].to_string()),
        ("seconds", training["seconds"].to_string()),
    ]);
    let json = json!({ "out": args.out, "training": training });
    Ok(Report::new(text, json))
}
