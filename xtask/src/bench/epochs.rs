//! Time to the same loss: both sides train the same bridges over the same examples, each in its own
//! way, and are asked now and then, off the clock, what they make of held-out examples.

use std::fs;

use calm_lm::chart::{Axis, Chart, Curve, Style};
use clap::ValueEnum;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Bench, Comparison, compared};

/// Rows of a batch.
const BATCH: usize = 16;

/// Examples that the loss is measured on.
const HELD_OUT: usize = 32;

/// The losses of both sides before the first step may differ by this much: one is the mean of
/// thousands of logarithms in `f32`, summed in another order.
const SAME: f64 = 1e-4;

/// What is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
pub(super) enum Texts {
    /// From 32 to 256 tokens, evenly by their logarithm; the last quarter is the target.
    Prompts,
    /// 129 tokens each, all of which carry loss: nothing can be saved but what does not change from
    /// one epoch to the next.
    Full,
}

impl Texts {
    fn name(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Full => "full",
        }
    }

    fn example(self, language: &Language, random: &mut ChaCha8Rng) -> Value {
        let length = match self {
            Self::Prompts => 2f64.powf(random.random_range(5.0..8.0)) as usize,
            Self::Full => 129,
        };
        let target_start = match self {
            Self::Prompts => length - length / 4,
            Self::Full => 0,
        };
        json!({"ids": language.text(length, random), "target_start": target_start})
    }
}

/// A language that frozen models with random weights have something to learn of through their
/// bridges: 64 of the vocabulary's tokens, each followed by one of four with probabilities 1/2, 1/4,
/// 1/8 and 1/8.
struct Language {
    tokens: Vec<u32>,
    /// Of every token, indices into `tokens`.
    next: Vec<[usize; 4]>,
}

impl Language {
    const TOKENS: usize = 64;

    fn new(vocab: u32, random: &mut ChaCha8Rng) -> Self {
        let all: Vec<u32> = (0..vocab).collect();
        let tokens: Vec<u32> = all.sample(random, Self::TOKENS).copied().collect();
        let next = tokens
            .iter()
            .map(|_| [0; 4].map(|_| random.random_range(0..tokens.len())))
            .collect();
        Self { tokens, next }
    }

    fn text(&self, length: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
        let mut at = random.random_range(0..self.tokens.len());
        let token = |_| {
            at = match random.random_range(0..8) {
                0..4 => self.next[at][0],
                4..6 => self.next[at][1],
                6 => self.next[at][2],
                _ => self.next[at][3],
            };
            self.tokens[at]
        };
        (0..length).map(token).collect()
    }
}

/// Trains over every kind of texts on both sides in turn.
pub(super) fn compare(bench: &Bench<'_>, pair: &str) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for texts in bench.args.texts.iter().copied() {
        comparisons.extend(compare_over(bench, pair, texts)?);
    }
    Ok(comparisons)
}

fn compare_over(bench: &Bench<'_>, pair: &str, texts: Texts) -> Result<Vec<Comparison>> {
    let (examples, epochs) = (bench.args.examples, bench.args.epochs);
    let work = format!("{epochs} epochs, {examples} {}", texts.name());
    let name = format!("epochs-{pair}-{}", texts.name());
    let data = write_data(bench, pair, texts, examples)?;
    let initial = bench.args.out.join(format!("{name}.safetensors"));
    let initial = initial.display().to_string();
    let common = format!("epochs --batch {BATCH} --epochs {epochs} --learning-rate 5e-4");
    let arguments = |beside: &[&str]| -> Vec<String> {
        let all = common.split(' ').chain(["--data", &data]);
        all.chain(beside.iter().copied())
            .map(str::to_owned)
            .collect()
    };
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for repeat in 1..=bench.args.repeats {
        eprintln!("{pair} {work} ({repeat} of {})", bench.args.repeats);
        let mut one = bench.ours(&arguments(&["--write-initial", &initial]), pair)?;
        let mut other = bench.peer(&arguments(&["--initial", &initial]), pair)?;
        meet(&mut one, &mut other)?;
        ours.push(one);
        peers.push(other);
    }
    fs::remove_file(&initial)
        .into_diagnostic()
        .wrap_err(initial)?;
    draw(bench, &name, &ours[0], &peers[0])?;
    bench.write(
        &format!("{name}.runs.json"),
        &format!("{:#}\n", json!({"ours": ours, "peer": peers})),
    )?;
    let figures = [
        ("s_to_the_same_loss", false),
        ("train_s", false),
        ("peak_rss_mib", false),
        ("final_loss", false),
    ];
    Ok(compared(pair, &work, &figures, &ours, &peers))
}

/// Writes so many examples, and those that are held out, and returns where.
pub(super) fn write_data(
    bench: &Bench<'_>,
    pair: &str,
    texts: Texts,
    examples: usize,
) -> Result<String> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let language = Language::new(vocabulary(bench, pair)?, &mut random);
    let mut draw = |count| -> Vec<Value> {
        let drawn = 0..count;
        drawn
            .map(|_| texts.example(&language, &mut random))
            .collect()
    };
    let (examples, held_out) = (draw(examples), draw(HELD_OUT));
    let data = json!({"examples": examples, "held_out": held_out});
    let name = format!("{pair}-{}-{}.json", texts.name(), examples.len());
    bench.write(&name, &format!("{data}\n"))?;
    Ok(bench.args.out.join(name).display().to_string())
}

fn vocabulary(bench: &Bench<'_>, pair: &str) -> Result<u32> {
    let path = bench.args.pairs.join(pair).join("anchor/config.json");
    let name = || path.display().to_string();
    let config = fs::read(&path).into_diagnostic().wrap_err_with(name)?;
    let config: Value = serde_json::from_slice(&config)
        .into_diagnostic()
        .wrap_err_with(name)?;
    config["vocab_size"]
        .as_u64()
        .and_then(|size| u32::try_from(size).ok())
        .ok_or_else(|| miette!("{}: no vocab_size", name()))
}

/// Adds to both runs when they came to the loss that both came to, and where they ended.
fn meet(ours: &mut Value, peer: &mut Value) -> Result<()> {
    let [begin, other] = [&*ours, &*peer].map(|run| number(&run["initial_loss"]));
    if (begin - other).abs() > SAME * begin.abs() {
        return Err(miette!(
            "before the first step the loss is {begin} here and {other} there"
        ));
    }
    let last = |run: &Value| curve(run).last().map_or(f64::NAN, |point| point.1);
    let both = last(ours).max(last(peer));
    for run in [ours, peer] {
        let end = last(run);
        run["final_loss"] = json!(end);
        run["s_to_the_same_loss"] = json!(reached(&curve(run), both));
    }
    Ok(())
}

/// Seconds until the loss first was so low, by a line between two measurements.
fn reached(curve: &[(f64, f64)], loss: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.1 <= loss)?;
    let (seconds, low) = curve[after];
    let Some((before, high)) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(seconds);
    };
    Some(before + (seconds - before) * (high - loss) / (high - low))
}

/// Seconds and held-out loss.
fn curve(run: &Value) -> Vec<(f64, f64)> {
    let points = run["step_seconds_loss"].as_array();
    let points = points.into_iter().flatten();
    points
        .map(|point| (number(&point[1]), number(&point[2])))
        .collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn draw(bench: &Bench<'_>, name: &str, ours: &Value, peer: &Value) -> Result<()> {
    let runs = [("calm", ours), ("PyTorch", peer)].into_iter().enumerate();
    let chart = Chart {
        x: Axis::new("seconds of training", false),
        y: Axis::new("held-out loss, nats per token", false),
        curves: runs
            .map(|(color, (name, run))| Curve {
                name: name.to_owned(),
                color,
                style: Style::Marked,
                points: std::iter::once((0.0, number(&run["initial_loss"])))
                    .chain(curve(run))
                    .collect(),
            })
            .collect(),
    };
    bench.write(&format!("{name}.svg"), &chart.svg())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(initial_loss: f64, curve: &Value) -> Value {
        json!({"initial_loss": initial_loss, "step_seconds_loss": curve})
    }

    #[test]
    fn both_sides_are_timed_to_the_loss_that_both_reach() {
        let mut ours = run(7.0, &json!([[4, 1.0, 5.0], [8, 2.0, 3.0]]));
        let mut peer = run(7.0, &json!([[4, 3.0, 6.0], [8, 6.0, 4.0]]));
        meet(&mut ours, &mut peer).unwrap();
        assert_eq!(ours["s_to_the_same_loss"], 1.5);
        assert_eq!(peer["s_to_the_same_loss"], 6.0);
        let mut other = run(6.9, &json!([[4, 3.0, 6.0]]));
        assert!(meet(&mut ours, &mut other).is_err(), "another model");
    }

    #[test]
    fn texts_are_of_their_language() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let language = Language::new(1024, &mut random);
        for texts in [Texts::Prompts, Texts::Full] {
            for _ in 0..20 {
                let example = texts.example(&language, &mut random);
                let ids = example["ids"].as_array().unwrap();
                assert!((32..256).contains(&ids.len()));
                let is_known = |id: &Value| {
                    let id = id.as_u64().unwrap() as u32;
                    language.tokens.contains(&id)
                };
                assert!(ids.iter().all(is_known));
                let target_start = example["target_start"].as_u64().unwrap() as usize;
                assert!(target_start < ids.len());
            }
        }
    }
}
