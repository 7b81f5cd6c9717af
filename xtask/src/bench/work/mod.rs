//! `cargo xtask measure`: one work, timed in a process of its own, so that its peak memory is told
//! as well. `cargo xtask bench` runs it beside the same work in PyTorch.

mod corpora;
mod data;
mod epochs;
mod infer;
mod machine;
mod operations;
mod train;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use calm_lm::backend::{ComputeType, device, peak_memory, use_threads};
use calm_lm::compose::{Augmenting, Bridges, ConnectionPlan, FrozenParts};
use calm_lm::models::{Decoder, LoadOptions};
use clap::{Args, ValueEnum};
use miette::{IntoDiagnostic, Result};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub(super) use self::machine::Machine;

#[derive(Debug, Args)]
pub(crate) struct MeasureArgs {
    #[arg(value_enum)]
    work: Work,
    /// Directory with a directory for every pair
    #[arg(default_value = "target/bench")]
    directory: PathBuf,
    /// Directory in it with the checkpoints `anchor` and `augment`; they need no tokenizer
    #[arg(default_value = "small")]
    pair: String,
    /// Rows at once
    #[arg(long, default_value = "1")]
    batch: NonZeroUsize,
    /// Tokens of each prompt
    #[arg(long, default_value = "64")]
    prompt: NonZeroUsize,
    /// Tokens to add to each prompt
    #[arg(long, default_value_t = 64)]
    new: usize,
    /// How often inference is timed, after once for nothing
    #[arg(long, default_value = "5")]
    repeats: NonZeroUsize,
    /// Leave out composed decoding without caches, which takes long behind a long prompt
    #[arg(long)]
    cached_only: bool,
    /// Tokens of each row of a training step
    #[arg(long, default_value = "128")]
    seq: NonZeroUsize,
    /// Training steps that are timed, after two that are not
    #[arg(long, default_value = "10")]
    steps: NonZeroUsize,
    /// Where the anchor reads while bridges are trained, as of `calm compose`
    #[arg(long, default_value = "every:4")]
    connections: ConnectionPlan,
    /// Examples of `epochs`: {"examples": […], "held_out": […]}, each {"ids": […], "target_start": N}
    #[arg(long, required_if_eq("work", "epochs"))]
    data: Option<PathBuf>,
    /// How often every example is seen
    #[arg(long, default_value = "3")]
    epochs: NonZeroUsize,
    /// Learning rate of AdamW over `epochs`, the same at every step
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// Steps between losses on the held-out examples, which are not timed
    #[arg(long, default_value = "4")]
    every: NonZeroUsize,
    /// Write the bridges as they begin, so that another program can begin with the same
    #[arg(long)]
    write_initial: Option<PathBuf>,
    /// Write the lines of `scores` to `hyp.txt` and `ref.txt` in this directory
    #[arg(long)]
    write_lines: Option<PathBuf>,
    /// Mebibytes of pairs that `corpora` cleans
    #[arg(long, default_value = "100")]
    mebibytes: NonZeroUsize,
    /// Write these pairs, and a manifest of them, to this directory, and leave them there
    #[arg(long)]
    write_corpora: Option<PathBuf>,
    /// Device to compute on
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Number type to compute in, as of `calm generate`
    #[arg(long, default_value_t)]
    dtype: ComputeType,
    /// Threads to compute on [default: as many as there are cores]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Fixes texts and their order
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Works that are timed. Texts are random tokens and bridges are untrained; neither changes what is
/// computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// Products of matrices and reading memory: the most that this machine gives
    Machine,
    /// Single operations, fused and plain
    Operations,
    /// Tokenise a file of examples, and draw batches from it
    Batches,
    /// chrF of as many sentences as FLORES-200 has in 192 languages
    Scores,
    /// Clean corpora of two languages by all steps, as `calm data ntl` does
    Corpora,
    /// Load both checkpoints, until each has read a token
    Load,
    /// Read a prompt: the anchor alone, and composed
    Prefill,
    /// Continue a prompt: the anchor alone with its cache, composed with caches and without
    Decode,
    /// Steps of training the bridges, with a loss on every token
    Train,
    /// Steps of training the whole anchor, with a loss on every token
    Finetune,
    /// Train bridges for some epochs over the same examples, by the fastest way there is
    Epochs,
}

impl Work {
    /// Name on the command line of both programs.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value().expect("no work is hidden");
        value.get_name().to_owned()
    }
}

/// Figures of one process, ours or PyTorch's.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Measured {
    /// By names that end in their unit.
    pub(super) figures: BTreeMap<String, f64>,
    /// Step, seconds of training until then, held-out loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) step_seconds_loss: Vec<(usize, f64, f64)>,
}

impl Measured {
    fn of<const N: usize>(figures: [(&str, f64); N]) -> Self {
        let mut measured = Self::default();
        for (name, figure) in figures {
            measured.set(name, figure);
        }
        measured
    }

    /// Adds a figure, rounded to thousandths.
    pub(super) fn set(&mut self, name: &str, figure: f64) {
        let rounded = (figure * 1e3).round() / 1e3;
        self.figures.insert(name.to_owned(), rounded);
    }

    pub(super) fn get(&self, name: &str) -> Option<f64> {
        self.figures.get(name).copied()
    }
}

/// Prints the figures of one work as JSON.
pub(crate) fn run(args: &MeasureArgs) -> Result<()> {
    use_threads(args.threads).into_diagnostic()?;
    let device = device(&args.device).into_diagnostic()?;
    let measured = match args.work {
        Work::Machine => return print(&machine::measure(&device)),
        Work::Operations => Ok(operations::measure(&device)),
        Work::Batches => data::batches(),
        Work::Scores => data::scores(args),
        Work::Corpora => corpora::measure(args),
        Work::Load => infer::load(args, &device),
        Work::Prefill => infer::prefill(args, &device),
        Work::Decode => infer::decode(args, &device),
        Work::Train => train::bridges(args, &device),
        Work::Finetune => train::anchor(args, &device),
        Work::Epochs => epochs::measure(args, &device),
    };
    let mut measured = measured?;
    if let Some(bytes) = peak_memory() {
        measured.set("peak_rss_mib", (bytes >> 20) as f64);
    }
    print(&measured)
}

fn print(figures: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(figures).into_diagnostic()?;
    println!("{text}");
    Ok(())
}

impl MeasureArgs {
    fn load(&self, role: &str, device: &Device) -> Result<Decoder> {
        let options = LoadOptions {
            device: device.clone(),
            dtype: self.dtype,
            ..LoadOptions::default()
        };
        let path = self.directory.join(&self.pair).join(role);
        Decoder::load(&path, &options).into_diagnostic()
    }

    fn frozen_parts(&self, device: &Device) -> Result<FrozenParts> {
        let [anchor, augmenting] = [self.load("anchor", device)?, self.load("augment", device)?];
        let connections = self
            .connections
            .resolve(augmenting.block_count(), anchor.block_count())
            .into_diagnostic()?;
        Ok(FrozenParts {
            anchor,
            augmenting: vec![Augmenting::new(augmenting, connections)],
        })
    }
}

fn untrained_bridges(parts: &FrozenParts, device: &Device) -> Result<Bridges> {
    let heads = parts.anchor.config().heads();
    Bridges::init(&parts.bridge_sets(heads), 0, device).into_diagnostic()
}

fn random_ids(random: &mut ChaCha8Rng, vocab: u32, count: usize) -> Vec<u32> {
    (0..count).map(|_| random.random_range(0..vocab)).collect()
}

/// Seconds that `work` takes.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed().as_secs_f64())
}

/// The median, as the upper of the two in the middle; 0 of nothing.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}
