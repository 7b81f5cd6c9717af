//! `cargo xtask reproduce`: Table 1 of the paper.
//!
//! Every system and seed is a job with a directory of its own. A job's result is written when it
//! is done, so a run that was killed goes on with the job it was in, from its last checkpoint.

mod report;
mod settings;
mod systems;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use burn::tensor::Device;
use calm_lm::backend::{FloatType, device, device_name, peak_memory};
use calm_lm::compose::{ConnectionPlan, LoadedModel};
use calm_lm::data::kv::{DataMixture, KvDataset};
use calm_lm::models::{FrozenModel, LoadOptions, ModelSource};
use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use serde::Serialize;

use self::report::{Cost, report};
use self::settings::Settings;
use self::systems::{Experiment, Job, Measured, System};
use crate::scale::Scale;

/// How much of the table to make.
#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// One seed, and half the steps.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Five seeds, all three mixtures of D_C, and the baselines with as many seeds.
    #[arg(long)]
    full: bool,
    /// Where results and checkpoints go.
    #[arg(long, default_value = "runs/table1")]
    out: PathBuf,
    /// How many keys, and how large models. Those of the paper's scale are made by `cargo xtask
    /// pretrain kv --scale paper`.
    #[arg(long, value_enum, default_value_t = Scale::Laptop)]
    scale: Scale,
    /// The frozen models, if elsewhere than where `cargo xtask pretrain` puts them.
    #[arg(long)]
    checkpoints: Option<PathBuf>,
    /// Which fifth of the keys is held in. The table is that of 0; its settings were chosen on 1.
    #[arg(long, default_value_t = 0)]
    fold: usize,
    /// First seed; others follow it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Measure this alone, such as `composed` to compare options of the bridges
    #[arg(long, value_name = "SYSTEM")]
    only: Vec<System>,
    /// Steps of every training, if other than the recipe's.
    #[arg(long)]
    steps: Option<usize>,
    /// Expressions to evaluate a task on, if other than the recipe's.
    #[arg(long)]
    evaluated: Option<usize>,
    /// Connections, as of `calm compose`, if other than the recipe's.
    #[arg(long)]
    connections: Option<ConnectionPlan>,
    /// Attention heads of the bridges, if other than the anchor's.
    #[arg(long)]
    heads: Option<usize>,
    /// Options of the bridges as JSON, as composition.json has them, if other than the default: `{}`
    /// is the paper's bridge.
    #[arg(long)]
    options: Option<String>,
    /// Noise on m_A's hidden states, if other than the recipe's.
    #[arg(long)]
    noise: Option<f64>,
    /// Device to compute on.
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Settings and hashes that fix the numbers, written beside them.
#[derive(Serialize)]
struct Provenance<'a> {
    settings: &'a Settings,
    anchor_sha256: &'a str,
    augmenting_sha256: &'a str,
}

/// results.json.
#[derive(Serialize)]
struct Results<'a> {
    schema: u32,
    provenance: &'a Provenance<'a>,
    #[serde(flatten)]
    cost: &'a Cost,
    measured: &'a [Measured],
}

/// Runs all jobs that have no result yet, and prints the table.
pub(crate) fn run(args: &ReproduceArgs) -> Result<()> {
    let (started, commit) = (Instant::now(), crate::commit());
    let device = device(&args.device).into_diagnostic()?;
    let checkpoints = args.checkpoints.clone();
    let checkpoints = checkpoints.unwrap_or_else(|| args.scale.checkpoints());
    let [augmenting, anchor] = load(&checkpoints, &device)?;
    let settings = settings(args, &augmenting.model, &anchor.model)?;
    let provenance = Provenance {
        settings: &settings,
        anchor_sha256: anchor.model.weights_sha256().into_diagnostic()?,
        augmenting_sha256: augmenting.model.weights_sha256().into_diagnostic()?,
    };
    let directory = run_directory(&args.out, &provenance)?;
    let experiment = Experiment {
        settings: &settings,
        dataset: &dataset(&settings, [&augmenting.model, &anchor.model], &checkpoints)?,
        anchor: &anchor,
        augmenting: &augmenting,
        device: &device,
        directory: &directory,
    };
    let jobs = jobs(args);
    let is_done = |job: &&Job| result_path(&directory, **job).exists();
    let jobs_done_before = jobs.iter().filter(is_done).count();
    let measured = measure_all(&experiment, &jobs)?;
    let cost = Cost {
        commit,
        device: device_name(&device),
        wall_seconds: started.elapsed().as_secs_f64(),
        jobs_done_before,
        peak_mib: peak_memory().map(|bytes| bytes >> 20),
    };
    let results = Results {
        schema: 1,
        provenance: &provenance,
        cost: &cost,
        measured: &measured,
    };
    let results = serde_json::to_vec_pretty(&results).into_diagnostic()?;
    let text = report(&settings, &measured, &cost);
    calm_files::write(directory.join("report.md"), &text).into_diagnostic()?;
    calm_files::write(directory.join("results.json"), results).into_diagnostic()?;
    println!("{text}\nWritten to {}", directory.display());
    Ok(())
}

/// The augmenting model and the anchor.
fn load(checkpoints: &Path, device: &Device) -> Result<[LoadedModel; 2]> {
    let options = LoadOptions {
        device: device.clone(),
        dtype: FloatType::F32.into(),
        ..LoadOptions::default()
    };
    let load = |name| {
        let source = ModelSource::Path(checkpoints.join(name));
        LoadedModel::load(&source, &options).into_diagnostic()
    };
    Ok([load("kv-augmenting")?, load("kv-anchor")?])
}

/// The dataset that both models were made for.
fn dataset(
    settings: &Settings,
    models: [&FrozenModel; 2],
    checkpoints: &Path,
) -> Result<KvDataset> {
    let dataset = KvDataset::new(settings.data.clone()).into_diagnostic()?;
    let is_theirs = |model: &FrozenModel| model.tokenizer.json() == dataset.tokenizer_json();
    match models.into_iter().all(is_theirs) {
        true => Ok(dataset),
        false => Err(miette!(
            "{}: the checkpoints were made for another dataset; make them again with `cargo xtask \
             pretrain kv`",
            checkpoints.display()
        )),
    }
}

fn settings(
    args: &ReproduceArgs,
    augmenting: &FrozenModel,
    anchor: &FrozenModel,
) -> Result<Settings> {
    let mut settings = Settings::new(args.scale);
    settings.data.fold = args.fold;
    let half = args.quick.then_some(settings.train.steps / 2);
    if let Some(steps) = args.steps.or(half) {
        settings.train = settings.train.with_steps(steps);
    }
    if let Some(evaluated) = args.evaluated {
        settings.evaluated = evaluated;
    }
    if let Some(plan) = &args.connections {
        let [augmenting, anchor] = [augmenting, anchor].map(|model| model.decoder.block_count());
        let connections = plan.resolve(augmenting, anchor).into_diagnostic()?;
        settings.connections = connections.into_iter().map(Into::into).collect();
    }
    settings.heads = args.heads;
    if let Some(noise) = args.noise {
        settings.noise = noise;
    }
    if let Some(options) = &args.options {
        settings.options = serde_json::from_str(options)
            .into_diagnostic()
            .wrap_err("--options")?;
    }
    Ok(settings)
}

fn jobs(args: &ReproduceArgs) -> Vec<Job> {
    let (seeds, baseline_seeds) = match (args.quick, args.full) {
        (true, _) => (1, 1),
        (_, true) => (5, 5),
        _ => (3, 1),
    };
    let mixtures: &[DataMixture] = if args.full {
        &DataMixture::ALL
    } else {
        &DataMixture::ALL[..1]
    };
    let job = |system, mixture, seed| Job {
        system,
        mixture,
        seed: args.seed + seed,
    };
    let mut jobs = vec![
        job(System::Augmenting, DataMixture::Mixed, 0),
        job(System::Anchor, DataMixture::Mixed, 0),
    ];
    for mixture in mixtures {
        jobs.extend((0..seeds).map(|seed| job(System::Composed, *mixture, seed)));
    }
    for system in [System::Lora, System::UntrainedAugmenting] {
        jobs.extend((0..baseline_seeds).map(|seed| job(system, DataMixture::Mixed, seed)));
    }
    jobs.retain(|job| args.only.is_empty() || args.only.contains(&job.system));
    jobs
}

/// The results of all jobs, in their order. As many run at a time as there are processors, each on
/// its share of the threads: to cut the small operations of small models up costs more than it
/// gains.
fn measure_all(experiment: &Experiment<'_>, jobs: &[Job]) -> Result<Vec<Measured>> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let workers = processors.min(jobs.len()).max(1);
    let threads = processors / workers;
    let next = AtomicUsize::new(0);
    let results: Vec<OnceLock<Result<Measured>>> = jobs.iter().map(|_| OnceLock::new()).collect();
    let take = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        jobs.get(number).zip(results.get(number))
    };
    let work = || {
        while let Some((job, result)) = take() {
            eprintln!("{}: begins", job.name());
            let measured = on_threads(threads, || measure(experiment, *job));
            if measured.is_err() {
                // Nothing new is begun; what runs goes on to its end, or to its interruption.
                next.store(jobs.len(), Ordering::Relaxed);
            }
            let _ = result.set(measured);
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let results: Vec<_> = results
        .into_iter()
        .filter_map(OnceLock::into_inner)
        .collect();
    results.into_iter().collect()
}

/// Result of `work`, computed on so many threads.
fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.into_diagnostic()?.install(work)
}

/// The result of a job, from its file if it is done.
fn measure(experiment: &Experiment<'_>, job: Job) -> Result<Measured> {
    let path = result_path(experiment.directory, job);
    if let Ok(text) = fs::read(&path) {
        return serde_json::from_slice(&text)
            .into_diagnostic()
            .wrap_err_with(|| format!("{}: delete it to measure again", path.display()));
    }
    let measured = experiment.run(job)?;
    let text = serde_json::to_vec_pretty(&measured).into_diagnostic()?;
    calm_files::write(&path, text).into_diagnostic()?;
    Ok(measured)
}

fn result_path(directory: &Path, job: Job) -> PathBuf {
    directory
        .join("results")
        .join(format!("{}.json", job.name()))
}

/// A directory of its own for everything that changes the numbers, so that results of other
/// settings are never mixed in.
fn run_directory(out: &Path, provenance: &Provenance<'_>) -> Result<PathBuf> {
    let text = serde_json::to_vec_pretty(provenance).into_diagnostic()?;
    // FNV-1a: a short name, not a proof; the file holds the settings themselves.
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let directory = out.join(format!("{hash:016x}"));
    fs::create_dir_all(directory.join("results"))
        .into_diagnostic()
        .wrap_err_with(|| directory.display().to_string())?;
    calm_files::write(directory.join("provenance.json"), text).into_diagnostic()?;
    Ok(directory)
}
