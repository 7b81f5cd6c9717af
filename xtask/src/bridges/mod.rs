//! `cargo xtask bridges`: how bridges with some options begin to train, between models whose hidden
//! states are hard to read. The results are in docs/benchmarks/bridges.md.

mod pairs;
mod report;

use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use burn::module::Module;
use calm_lm::backend::{FloatType, device};
use calm_lm::compose::{
    BridgeOptions, Bridges, Composition, CompositionConfig, ConnectionPlan, LoadedModel,
};
use calm_lm::data::jsonl::PromptTarget;
use calm_lm::data::{Batches, Examples, tokenize};
use calm_lm::models::{LoadOptions, ModelSource};
use calm_lm::train::runs::{FitOptions, RunEvent, fit};
use calm_lm::train::{
    BridgeTraining, DataTokenizer, Objective, StepMetrics, TrainConfig, calibrate,
};
use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};

use self::pairs::Pair;
use self::report::{HEADER, Losses, row};

/// Bridges to train, and the models between which they are.
#[derive(Debug, Args)]
pub(crate) struct BridgesArgs {
    /// Pairs of small models that are made here [default: all, unless there are checkpoints]
    #[arg(long, value_name = "NAME")]
    pair: Vec<String>,
    /// Checkpoint of an anchor
    #[arg(long, requires_all = ["augmenting", "train"], conflicts_with = "pair")]
    anchor: Option<PathBuf>,
    /// Checkpoint of an augmenting model
    #[arg(long, requires = "anchor")]
    augmenting: Option<PathBuf>,
    /// Prompts and targets, one JSON object per line
    #[arg(long, requires = "anchor")]
    train: Option<PathBuf>,
    /// Prompts and targets whose loss is taken behind the last step [default: those of --train]
    #[arg(long, requires = "train")]
    held_out: Option<PathBuf>,
    /// Connections between checkpoints
    #[arg(long, default_value = "every:4")]
    connections: ConnectionPlan,
    /// Options of bridges as JSON, as composition.json has them: `{}` is the paper's bridge; may be
    /// given several times [default: the default bridge, and the paper's]
    #[arg(long)]
    options: Vec<String>,
    /// Learning rates
    #[arg(long, default_values_t = [3e-4, 1e-3, 3e-3])]
    learning_rate: Vec<f64>,
    /// Steps
    #[arg(long, default_value_t = 200)]
    steps: usize,
    /// Rows of a batch
    #[arg(long, default_value_t = 8)]
    rows: usize,
    /// Seed of bridges and order
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Trains every kind of bridges at every learning rate, and prints a row of a table for each.
pub(crate) fn run(args: &BridgesArgs) -> Result<()> {
    let mut options = args
        .options
        .iter()
        .map(|text| serde_json::from_str(text).into_diagnostic())
        .collect::<Result<Vec<BridgeOptions>>>()?;
    if options.is_empty() {
        options = vec![BridgeOptions::default(), BridgeOptions::paper()];
    }
    println!("{HEADER}");
    if let (Some(anchor), Some(augmenting)) = (&args.anchor, &args.augmenting) {
        let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let title = format!("{} reads {}", name(anchor), name(augmenting));
        return compare(
            args,
            &title,
            &checkpoints(args, anchor, augmenting)?,
            &options,
        );
    }
    let names: Vec<&str> = match args.pair.as_slice() {
        [] => pairs::names().collect(),
        names => names.iter().map(String::as_str).collect(),
    };
    for name in names {
        let pair = pairs::make(name, args.rows, args.seed)?;
        compare(args, name, &pair, &options)?;
    }
    Ok(())
}

/// Two checkpoints, and the texts of files.
fn checkpoints(args: &BridgesArgs, anchor: &Path, augmenting: &Path) -> Result<Pair> {
    let options = LoadOptions {
        device: device("cpu").into_diagnostic()?,
        dtype: FloatType::F32.into(),
        ..LoadOptions::default()
    };
    let load = |path: &Path| {
        LoadedModel::load(&ModelSource::Path(path.to_owned()), &options).into_diagnostic()
    };
    let (anchor, augmenting) = (load(anchor)?, load(augmenting)?);
    let train = args
        .train
        .as_deref()
        .ok_or_else(|| miette!("--train is missing"))?;
    let held_out = args.held_out.as_deref().unwrap_or(train);
    let [train, held_out] =
        [train, held_out].map(|path| batches(path, &anchor, args.rows, args.seed));
    let models = vec![(augmenting, args.connections.clone())];
    let config = CompositionConfig::default();
    let composition = Composition::new(anchor, models, &config, 0).into_diagnostic()?;
    Ok(Pair {
        heads: composition.heads,
        parts: composition.model.parts,
        train: train?,
        held_out: held_out?,
    })
}

fn batches(path: &Path, anchor: &LoadedModel, rows: usize, seed: u64) -> Result<Batches> {
    let text = fs::read_to_string(path)
        .into_diagnostic()
        .wrap_err_with(|| path.display().to_string())?;
    let eos = anchor.model.special.eos.first();
    let eos = *eos.ok_or_else(|| miette!("the anchor has no end of text"))?;
    let tokenizer = DataTokenizer(&anchor.model.tokenizer);
    let context = anchor.model.config().context_length;
    let examples = text.lines().enumerate().map(|(index, line)| {
        let PromptTarget { prompt, target, .. } = serde_json::from_str(line).into_diagnostic()?;
        tokenize(&tokenizer, index, &prompt, &target, eos, context).into_diagnostic()
    });
    let examples = examples.collect::<Result<Examples>>()?;
    Ok(Batches::new(examples, rows, 0, seed))
}

fn compare(args: &BridgesArgs, name: &str, pair: &Pair, options: &[BridgeOptions]) -> Result<()> {
    // Fresh bridges add nothing: the anchor's own losses.
    let anchor = fresh(pair, BridgeOptions::paper(), args.seed)?;
    let own_steps: Vec<f64> = (0..args.steps)
        .map(|number| mean_loss(pair, &anchor, &pair.train, number..number + 1))
        .collect::<Result<_>>()?;
    let held_out = 0..pair.held_out.per_epoch();
    let own_held_out = mean_loss(pair, &anchor, &pair.held_out, held_out.clone())?;
    for options in options {
        for rate in &args.learning_rate {
            let (steps, trained) = train(args, pair, *options, *rate)?;
            let losses = Losses {
                steps: &steps,
                own_steps: &own_steps,
                held_out: mean_loss(pair, &trained, &pair.held_out, held_out.clone())?,
                own_held_out,
            };
            println!("{}", row(name, options, *rate, &losses)?);
        }
    }
    Ok(())
}

fn fresh(pair: &Pair, options: BridgeOptions, seed: u64) -> Result<Bridges> {
    let sets = pair.parts.bridge_sets_with(pair.heads, options);
    Bridges::init(&sets, seed, &pair.parts.anchor.device()).into_diagnostic()
}

/// Every step of a training with the trainer's defaults, and what came of it.
fn train(
    args: &BridgesArgs,
    pair: &Pair,
    options: BridgeOptions,
    learning_rate: f64,
) -> Result<(Vec<StepMetrics>, Bridges)> {
    let device = pair.parts.anchor.device().autodiff();
    let bridges = fresh(pair, options, args.seed)?.fork(&device).train();
    let first = pair.train.batch(0).into_diagnostic()?;
    let bridges = calibrate(&pair.parts, bridges, &first).into_diagnostic()?;
    let config = TrainConfig {
        learning_rate,
        seed: args.seed,
        ..TrainConfig::default()
    };
    let objective = BridgeTraining::new(&pair.parts);
    let mut steps = Vec::new();
    let trainer = fit(
        "bridges",
        &objective,
        bridges,
        config.with_steps(args.steps),
        FitOptions::default(),
        &|number| Ok(pair.train.batch(number)?),
        &mut |event: RunEvent<'_>| {
            if let RunEvent::Step(metrics) = event {
                steps.push(metrics.clone());
            }
            ControlFlow::Continue(())
        },
    );
    let trained = trainer.into_diagnostic()?.into_parameters().valid();
    Ok((steps, trained))
}

/// Loss per target token over some batches.
fn mean_loss(
    pair: &Pair,
    bridges: &Bridges,
    batches: &Batches,
    numbers: Range<usize>,
) -> Result<f64> {
    let objective = BridgeTraining::new(&pair.parts);
    let (mut sum, mut tokens) = (0.0, 0);
    for number in numbers {
        let batch = batches.batch(number).into_diagnostic()?;
        let loss: f32 = objective.loss(bridges, &batch).into_scalar();
        sum += f64::from(loss);
        tokens += batch.target_tokens();
    }
    Ok(sum / tokens as f64)
}
