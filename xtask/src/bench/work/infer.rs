//! Loading, reading prompts and decoding.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use calm_lm::compose::ComposedModel;
use calm_lm::models::{CausalLm, Decoder, PaddingMask, SequenceOptions, Session};
use miette::{IntoDiagnostic, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{MeasureArgs, Measured, median, random_ids, timed, untrained_bridges};

pub(super) fn load(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let begun = Instant::now();
    let decoders = [args.load("anchor", device)?, args.load("augment", device)?];
    let load_s = begun.elapsed().as_secs_f64();
    for decoder in &decoders {
        next(decoder, &[vec![0]], device)?;
    }
    let first_token_s = begun.elapsed().as_secs_f64();
    let bytes = |decoder: &Decoder| decoder.num_params() * decoder.compute_type().bytes();
    let weights_mib = decoders.iter().map(bytes).sum::<usize>() >> 20;
    Ok(Measured::of([
        ("load_s", load_s),
        ("first_token_s", first_token_s),
        ("weights_mib", weights_mib as f64),
    ]))
}

pub(super) fn prefill(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let model = compose(args, device)?;
    let anchor = &model.parts.anchor;
    let prompts = prompts(args, anchor);
    let alone = repeated(args, || next(anchor, &prompts, device).map(drop))?;
    let composed = repeated(args, || next(&model, &prompts, device).map(drop))?;
    let tokens = (args.batch.get() * args.prompt.get()) as f64;
    Ok(Measured::of([
        ("composed_tokens_per_s", tokens / composed),
        ("anchor_alone_tokens_per_s", tokens / alone),
    ]))
}

pub(super) fn decode(args: &MeasureArgs, device: &Device) -> Result<Measured> {
    let model = compose(args, device)?;
    let anchor = &model.parts.anchor;
    let prompts = prompts(args, anchor);
    let alone = continuations(anchor, &prompts, args)?;
    let composed = continuations(&model, &prompts, args)?;
    let tokens = (args.batch.get() * args.new) as f64;
    let mut measured = Measured::of([
        ("composed_tokens_per_s", tokens / composed.seconds),
        ("composed_ms_per_token", composed.ms_per_token),
        ("anchor_alone_cached_tokens_per_s", tokens / alone.seconds),
        ("anchor_alone_ms_per_token", alone.ms_per_token),
    ]);
    if !args.cached_only {
        let seconds = timed(|| recompute(&model, prompts, args.new, device))?;
        measured.set("composed_recomputed_tokens_per_s", tokens / seconds);
    }
    Ok(measured)
}

fn compose(args: &MeasureArgs, device: &Device) -> Result<ComposedModel> {
    let parts = args.frozen_parts(device)?;
    let bridges = untrained_bridges(&parts, device)?;
    Ok(ComposedModel { parts, bridges })
}

fn prompts(args: &MeasureArgs, anchor: &Decoder) -> Vec<Vec<u32>> {
    let vocab = anchor.config().vocab_size as u32;
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let row = |_| random_ids(&mut random, vocab, args.prompt.get());
    (0..args.batch.get()).map(row).collect()
}

/// Median seconds of `work`, after once for nothing.
fn repeated(args: &MeasureArgs, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let seconds = (0..args.repeats.get()).map(|_| timed(&mut work));
    Ok(median(seconds.collect::<Result<_>>()?))
}

/// Time of continuing all prompts.
struct Continued {
    /// In all.
    seconds: f64,
    /// For each token after the first, which the prompt has to be read for.
    ms_per_token: f64,
}

fn continuations<M: CausalLm>(
    model: &M,
    prompts: &[Vec<u32>],
    args: &MeasureArgs,
) -> Result<Continued> {
    let options = SequenceOptions::greedy(args.new, vec![]);
    let mut after_first = Vec::new();
    let seconds = repeated(args, || {
        let mut session = Session::new(model);
        for prompt in prompts {
            session.add(prompt.clone(), &options).into_diagnostic()?;
        }
        session.step().into_diagnostic()?;
        let first = Instant::now();
        while !session.is_empty() {
            session.step().into_diagnostic()?;
        }
        after_first.push(first.elapsed().as_secs_f64());
        Ok(())
    })?;
    let steps = args.new.saturating_sub(1).max(1) as f64;
    Ok(Continued {
        seconds,
        ms_per_token: median(after_first.split_off(1)) / steps * 1e3,
    })
}

/// The likeliest next token of every row, without a cache.
fn next<M: CausalLm>(model: &M, rows: &[Vec<u32>], device: &Device) -> Result<Vec<u32>> {
    let shape = [rows.len(), rows[0].len()];
    let ids = rows.iter().flatten().map(|id| i64::from(*id));
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids.collect(), shape), device);
    let mask = PaddingMask::none(shape[0], shape[1]);
    let hidden = model.hidden_states(ids, &mask, None).into_diagnostic()?;
    let last = hidden.narrow(1, shape[1] - 1, 1).squeeze_dim::<2>(1);
    let likeliest = model.head().finish_positions(last).argmax(1);
    likeliest.try_into_vec_as::<u32>().into_diagnostic()
}

/// Decodes without a cache: everything is computed anew for every token.
fn recompute<M: CausalLm>(
    model: &M,
    mut rows: Vec<Vec<u32>>,
    new: usize,
    device: &Device,
) -> Result<()> {
    for _ in 0..new {
        let next = next(model, &rows, device)?;
        rows.iter_mut().zip(next).for_each(|(row, id)| row.push(id));
    }
    Ok(())
}
