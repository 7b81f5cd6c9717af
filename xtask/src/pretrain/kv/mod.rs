//! `cargo xtask pretrain kv`: makes the small frozen checkpoints of Table 1 from a seed.

mod card;
mod embedding;
mod recipe;

use std::path::{Path, PathBuf};

use burn::module::Param;
use calm_lm::backend::{FloatType, device};
use calm_lm::data::kv::{KvConfig, KvDataset};
use calm_lm::models::{Decoder, FrozenModel, LoadOptions, Tokenizer};
use calm_lm::terminal::{Display, RunDisplay};
use calm_lm::train::runs::{FitOptions, fit};
use calm_lm::train::{LanguageModelling, RunDir, Trainer};
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use self::embedding::embeddings;
use self::recipe::Recipe;
use crate::scale::Scale;

/// Models to make, and their directory.
#[derive(Debug, Args)]
pub(crate) struct KvArgs {
    /// Only this model.
    #[arg(long, value_parser = ["kv-anchor", "kv-augmenting"])]
    only: Option<String>,
    /// How many keys, and how large models.
    #[arg(long, value_enum, default_value_t = Scale::Laptop)]
    scale: Scale,
    /// Steps of every training, if other than the recipe's.
    #[arg(long)]
    steps: Option<usize>,
    /// Where the checkpoints go [default: where `cargo xtask reproduce` looks for them].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where runs are kept, so that an interrupted one goes on.
    #[arg(long, default_value = "runs/pretrain")]
    runs: PathBuf,
    /// Fixes weights, texts and their order.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Device to train on.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Settings of a run, for its directory and the model card.
#[derive(Serialize)]
struct RunSettings<'a> {
    recipe: &'a Recipe,
    data: &'a KvConfig,
}

#[derive(Serialize)]
struct Environment<'a> {
    device: &'a str,
}

/// Trains the models one after the other and writes their checkpoints in half precision.
pub(super) fn run(args: &KvArgs) -> Result<()> {
    let dataset = KvDataset::new(args.scale.data()).into_diagnostic()?;
    let tokenizer = Tokenizer::from_json(dataset.tokenizer_json(), Path::new("tokenizer.json"))
        .into_diagnostic()?;
    let recipes = [Recipe::augmenting, Recipe::anchor].map(|make| make(args.scale, args.seed));
    for mut recipe in recipes {
        if let Some(steps) = args.steps {
            recipe.train = recipe.train.with_steps(steps);
        }
        if args.only.as_ref().is_none_or(|only| only == recipe.name) {
            make(&recipe, &dataset, &tokenizer, args)?;
        }
    }
    Ok(())
}

/// Trains one model and writes its checkpoint with its card, which tells what the stored weights
/// can do, rounding included.
fn make(recipe: &Recipe, dataset: &KvDataset, tokenizer: &Tokenizer, args: &KvArgs) -> Result<()> {
    let settings = RunSettings {
        recipe,
        data: dataset.config(),
    };
    let scale = args.scale.to_possible_value().expect("none is hidden");
    let name = format!("{}-{}-{}", scale.get_name(), recipe.name, args.seed);
    let runs = args.runs.join(name);
    let environment = Environment {
        device: &args.device,
    };
    let run = RunDir::open(&runs, &settings, &environment).into_diagnostic()?;
    let decoder = train(recipe, dataset, tokenizer, args, run)?;
    let out = args.out.clone();
    let path = out
        .unwrap_or_else(|| args.scale.checkpoints())
        .join(recipe.name);
    FrozenModel::new(decoder, tokenizer.clone())
        .save(&path, FloatType::F16)
        .into_diagnostic()?;
    let options = LoadOptions {
        device: device(&args.device).into_diagnostic()?,
        dtype: FloatType::F32.into(),
        ..LoadOptions::default()
    };
    let stored = FrozenModel::load(&path, &options).into_diagnostic()?;
    let metrics = RunDir::read_metrics(&runs).into_diagnostic()?;
    card::write(&path, &settings, &metrics, &stored, dataset)?;
    println!("{}: {}", path.display(), recipe.purpose);
    Ok(())
}

fn train(
    recipe: &Recipe,
    dataset: &KvDataset,
    tokenizer: &Tokenizer,
    args: &KvArgs,
    run: RunDir,
) -> Result<Decoder> {
    let device = device(&args.device).into_diagnostic()?.autodiff();
    let config = recipe.config(tokenizer);
    let mut decoder = Decoder::untrained(&config, args.seed, &device);
    decoder.embedding.weight =
        Param::from_tensor(embeddings(tokenizer, recipe.d_model, args.seed, &device));
    let objective = LanguageModelling {
        local_blocks: recipe.local_blocks,
        noise: recipe.noise,
    };
    let batches = |number| recipe.batch(dataset, tokenizer, number);
    let options = FitOptions {
        directory: Some(run),
        ..FitOptions::default()
    };
    let (name, config) = (recipe.name, recipe.train.clone());
    let mut display = RunDisplay::new(Display::Progress);
    let trained = fit(
        name,
        &objective,
        decoder,
        config,
        options,
        &batches,
        &mut display,
    );
    trained.map(Trainer::into_parameters).into_diagnostic()
}
