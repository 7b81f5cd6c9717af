//! `calm bench`: how fast a pair of models is loaded, decoded and composed, and what memory that
//! takes.

mod epochs;
mod machine;
mod train;

use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_lm::backend::FloatType;
use calm_lm::compose::{Augmenting, Bridges, ComposedModel, ConnectionPlan, FrozenParts};
use calm_lm::models::{
    CausalLm, Decoder, LoadOptions, ModelError, PaddingMask, SequenceOptions, Session,
};
use clap::{Args, Subcommand};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::version;
use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};

pub(super) const EXAMPLES: &str = r"EXAMPLES
  What to hold all else against:
    calm bench machine

  How fast a pair in pairs/small/anchor and pairs/small/augment is loaded:
    calm bench load pairs small

  Cached decoding of the anchor alone and composed, eight rows at once:
    calm bench decode pairs small --batch 8 --prompt 64 --new 64

  Reading a prompt of 512 tokens:
    calm bench prefill pairs small --prompt 512 --json

  Steps of training the bridges on 16 rows of 128 tokens:
    calm bench train pairs small --batch 16 --seq 128

  Steps of training the whole anchor:
    calm bench finetune pairs small --batch 16 --seq 128

  Three epochs over examples, and how the loss falls meanwhile:
    calm bench epochs pairs small --data examples.json --json

Texts are random tokens, bridges untrained; neither changes what is computed. Times are
medians over --repeats, after one run that is not counted. Decoding without caches is
timed once.";

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// What the machine gives at best: products of matrices, and reading memory
    #[command(after_long_help = EXAMPLES)]
    Machine,
    /// Load both checkpoints
    #[command(after_long_help = EXAMPLES)]
    Load(PairArgs),
    /// Read a prompt: the anchor alone, and composed
    #[command(after_long_help = EXAMPLES)]
    Prefill(RunArgs),
    /// Continue a prompt: the anchor alone with its cache, composed with caches and without
    #[command(after_long_help = EXAMPLES)]
    Decode(DecodeArgs),
    /// Train bridges: forward, backward and AdamW, with a loss on every token
    #[command(after_long_help = EXAMPLES)]
    Train(train::TrainArgs),
    /// Train the whole anchor: forward, backward and AdamW, with a loss on every token
    #[command(after_long_help = EXAMPLES)]
    Finetune(train::StepArgs),
    /// Train bridges for some epochs over the same examples, by the fastest way there is
    #[command(after_long_help = EXAMPLES)]
    Epochs(epochs::EpochsArgs),
}

#[derive(Debug, Args)]
struct PairArgs {
    /// Directory with a directory for every pair
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Directory in it with the checkpoints `anchor` and `augment`; they need no tokenizer
    #[arg(value_name = "PAIR")]
    pair: String,
    /// Number type to compute in
    #[arg(long, value_name = "TYPE", default_value_t = FloatType::F32)]
    dtype: FloatType,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    pair: PairArgs,
    /// Rows at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    prompt: usize,
    /// How often the work is timed
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: usize,
}

#[derive(Debug, Args)]
struct DecodeArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Tokens to add to each prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    new: usize,
    /// Leave out composed decoding without caches, which takes long behind a long prompt
    #[arg(long)]
    cached_only: bool,
}

pub(super) fn run(args: &BenchArgs, common: &Common) -> Result<Report, Failure> {
    let device = common.device()?;
    match &args.work {
        Work::Machine => machine::run(&device),
        Work::Load(pair) => load(pair, &device),
        Work::Prefill(args) => prefill(args, &device, common.seed),
        Work::Decode(args) => decode(args, &device, common.seed),
        Work::Train(args) => train::run(args, &device, common.seed),
        Work::Finetune(args) => train::finetune(args, &device, common.seed),
        Work::Epochs(args) => epochs::run(args, &device, common.seed),
    }
}

fn load(args: &PairArgs, device: &Device) -> Result<Report, Failure> {
    let begun = Instant::now();
    let decoders = load_decoders(args, device)?;
    let load_seconds = begun.elapsed().as_secs_f64();
    for decoder in &decoders {
        read(decoder, &[vec![0]], device)?;
    }
    let sizes = decoders.each_ref().map(Module::num_params);
    let figures = json!({
        "load_s": rounded(load_seconds),
        "first_token_s": rounded(begun.elapsed().as_secs_f64()),
        "weights_mib": (sizes.iter().sum::<usize>() * args.dtype.bytes()) >> 20,
    });
    Ok(report("load", args, device, &figures))
}

fn prefill(args: &RunArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    let model = compose(&args.pair, device)?;
    let prompts = prompts(args, &model.parts.anchor, seed)?;
    let alone = median(args.repeats, || read(&model.parts.anchor, &prompts, device))?;
    let composed = median(args.repeats, || read(&model, &prompts, device))?;
    let tokens = (args.batch * args.prompt) as f64;
    let figures = json!({
        "batch": args.batch,
        "prompt": args.prompt,
        "composed_tokens_per_s": rounded(tokens / composed),
        "anchor_alone_tokens_per_s": rounded(tokens / alone),
    });
    Ok(report("prefill", &args.pair, device, &figures))
}

fn decode(args: &DecodeArgs, device: &Device, seed: u64) -> Result<Report, Failure> {
    let run = &args.run;
    let model = compose(&run.pair, device)?;
    let anchor = &model.parts.anchor;
    let prompts = prompts(run, anchor, seed)?;
    let alone = continuations(anchor, &prompts, args)?;
    let composed = continuations(&model, &prompts, args)?;
    let per_second = |seconds: f64| rounded((run.batch * args.new) as f64 / seconds);
    let mut figures = json!({
        "batch": run.batch,
        "prompt": run.prompt,
        "new": args.new,
        "composed_tokens_per_s": per_second(composed.seconds),
        "composed_ms_per_token": rounded(composed.milliseconds),
        "anchor_alone_cached_tokens_per_s": per_second(alone.seconds),
        "anchor_alone_ms_per_token": rounded(alone.milliseconds),
    });
    if !args.cached_only {
        let begun = Instant::now();
        recompute(&model, prompts.clone(), args.new, device)?;
        let recomputed = begun.elapsed().as_secs_f64();
        figures["composed_recomputed_tokens_per_s"] = json!(per_second(recomputed));
    }
    Ok(report("decode", &run.pair, device, &figures))
}

/// The anchor and the augmenting model.
fn load_decoders(args: &PairArgs, device: &Device) -> Result<[Decoder; 2], ModelError> {
    Ok([
        load_anchor(args, device)?,
        load_decoder(args, "augment", device)?,
    ])
}

fn load_anchor(args: &PairArgs, device: &Device) -> Result<Decoder, ModelError> {
    load_decoder(args, "anchor", device)
}

fn load_decoder(args: &PairArgs, role: &str, device: &Device) -> Result<Decoder, ModelError> {
    let options = LoadOptions {
        device: device.clone(),
        dtype: args.dtype,
        ..LoadOptions::default()
    };
    Decoder::load(&args.directory.join(&args.pair).join(role), &options)
}

/// The two models, composed by the paper's plan.
fn compose(args: &PairArgs, device: &Device) -> Result<ComposedModel, Failure> {
    let parts = frozen_parts(args, &ConnectionPlan::default(), device)?;
    let bridges = bridges(&parts, device)?;
    Ok(ComposedModel { parts, bridges })
}

fn frozen_parts(
    args: &PairArgs,
    plan: &ConnectionPlan,
    device: &Device,
) -> Result<FrozenParts, Failure> {
    let [anchor, augmenting] = load_decoders(args, device)?;
    let connections = plan.resolve(augmenting.block_count(), anchor.block_count())?;
    Ok(FrozenParts {
        anchor,
        augmenting: vec![Augmenting::new(augmenting, connections)],
    })
}

fn bridges(parts: &FrozenParts, device: &Device) -> Result<Bridges, Failure> {
    let heads = parts.anchor.config().heads;
    Ok(Bridges::init(&parts.bridge_sets(heads), 0, device)?)
}

fn report(verb: &str, args: &PairArgs, device: &Device, figures: &Value) -> Report {
    let mut all = json!({ "pair": args.pair, "dtype": args.dtype.to_string() });
    add(&mut all, figures);
    report_of(verb, device, &all)
}

fn add(json: &mut Value, figures: &Value) {
    for (key, figure) in figures.as_object().into_iter().flatten() {
        json[key] = figure.clone();
    }
}

/// Of work that is not of a pair.
fn report_of(verb: &str, device: &Device, figures: &Value) -> Report {
    let mut json = json!({
        "verb": verb,
        "device": format!("{device:?}"),
        "program": version::program(),
    });
    add(&mut json, figures);
    json["peak_rss_mib"] = json!(calm_lm::backend::peak_memory().map(|bytes| bytes >> 20));
    let rows = json.as_object().into_iter().flatten();
    let rows: Vec<_> = rows
        .map(|(key, value)| (key.as_str(), value.to_string()))
        .collect();
    Report::new(table(&rows), json)
}

fn prompts(args: &RunArgs, anchor: &Decoder, seed: u64) -> Result<Vec<Vec<u32>>, Failure> {
    at_least_one(&[
        ("--batch", args.batch),
        ("--prompt", args.prompt),
        ("--repeats", args.repeats),
    ])?;
    let vocab = anchor.config().vocab_size as u32;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let row = |_| random_ids(&mut random, vocab, args.prompt);
    Ok((0..args.batch).map(row).collect())
}

fn random_ids(random: &mut ChaCha8Rng, vocab: u32, count: usize) -> Vec<u32> {
    (0..count).map(|_| random.random_range(0..vocab)).collect()
}

fn at_least_one(sizes: &[(&'static str, usize)]) -> Result<(), Failure> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((flag, _)) => Err(Failure::flag(flag, "it must be at least 1")),
        None => Ok(()),
    }
}

/// What continuing all prompts takes.
struct Continued {
    /// In all.
    seconds: f64,
    /// For each token after the first, which the prompt had to be read for.
    milliseconds: f64,
}

fn continuations<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    args: &DecodeArgs,
) -> Result<Continued, ModelError> {
    let options = SequenceOptions::greedy(args.new, vec![]);
    let mut after_first = Vec::new();
    let seconds = median(args.run.repeats, || {
        let mut session = Session::new(model);
        for prompt in prompts {
            session.add(prompt.clone(), &options)?;
        }
        session.step()?;
        let first = Instant::now();
        while !session.is_empty() {
            session.step()?;
        }
        after_first.push(first.elapsed().as_secs_f64());
        Ok(())
    })?;
    let steps = args.new.saturating_sub(1).max(1) as f64;
    Ok(Continued {
        seconds,
        milliseconds: middle(after_first.split_off(1)) / steps * 1e3,
    })
}

/// The likeliest next token of every row, without a cache.
fn next<M: CausalLm>(
    model: &M,
    rows: &[Vec<u32>],
    device: &Device,
) -> Result<Vec<u32>, ModelError> {
    let shape = [rows.len(), rows[0].len()];
    let ids = rows.iter().flatten().map(|id| i64::from(*id));
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.collect(), shape), device);
    let hidden = model.hidden_states(ids, &PaddingMask::none(shape[0], shape[1]), None)?;
    let last = hidden.narrow(1, shape[1] - 1, 1).squeeze_dim::<2>(1);
    let likeliest = model.head().finish_positions(last).argmax(1);
    likeliest
        .try_into_vec_as::<u32>()
        .map_err(|source| ModelError::Device { source })
}

fn read<M: CausalLm>(model: &M, prompts: &[Vec<u32>], device: &Device) -> Result<(), ModelError> {
    next(model, prompts, device).map(drop)
}

/// Decoding as it is without a cache: everything anew for every token.
fn recompute<M: CausalLm>(
    model: &M,
    mut rows: Vec<Vec<u32>>,
    new: usize,
    device: &Device,
) -> Result<(), ModelError> {
    for _ in 0..new {
        let next = next(model, &rows, device)?;
        rows.iter_mut().zip(next).for_each(|(row, id)| row.push(id));
    }
    Ok(())
}

/// Seconds that `work` takes, after once for nothing.
fn median(
    repeats: usize,
    mut work: impl FnMut() -> Result<(), ModelError>,
) -> Result<f64, ModelError> {
    work()?;
    let seconds = (0..repeats)
        .map(|_| {
            let begun = Instant::now();
            work().map(|()| begun.elapsed().as_secs_f64())
        })
        .collect::<Result<Vec<f64>, _>>()?;
    Ok(middle(seconds))
}

fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

fn rounded(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}
