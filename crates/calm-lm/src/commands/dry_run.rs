//! `--dry-run`: what a training run will be, without it.

use std::time::Duration;

use calm_lm::train::runs::{Estimate, MeasuredMemory};
use clap::Args;
use indicatif::HumanDuration;
use serde::Serialize;
use toml::Table;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, count, table};
use crate::settings;

/// A run that was described, for programs.
#[derive(Serialize)]
struct DryRunReport<'a> {
    config: Table,
    #[serde(flatten)]
    estimate: &'a Estimate,
}

/// The settings as a file for `--config`, and the figures as comments in it.
pub(super) fn report(
    common: &Common,
    config: &(impl Serialize + Args),
    estimate: &Estimate,
) -> Result<Report, Failure> {
    let mut settings = settings::absolute(config)?;
    settings.extend(settings::table(&common.of_run())?);
    let figures = table(&rows(estimate));
    let comments = figures.lines().map(|line| format!("# {line}\n"));
    let text = format!("{settings}\n{}", comments.collect::<String>());
    let json = DryRunReport {
        config: settings,
        estimate,
    };
    Ok(Report::new(text, json))
}

fn rows(estimate: &Estimate) -> Vec<(&'static str, String)> {
    let Estimate {
        parameters,
        data,
        memory_bytes,
        time,
    } = estimate;
    let rows = [
        Some((
            "parameters",
            format!(
                "{} frozen, {} trained",
                count(parameters.frozen),
                count(parameters.trained)
            ),
        )),
        Some((
            "examples",
            format!(
                "{}: {} tokens, {} of them targets",
                data.examples, data.tokens, data.target_tokens
            ),
        )),
        Some(("padding", format!("{:.1} %", 100.0 * data.padding_share))),
        Some((
            "epochs",
            format!(
                "{:.2}, of {} batches each",
                data.epochs, data.batches_per_epoch
            ),
        )),
        expected_memory(memory_bytes).map(|peak| ("memory", peak)),
        Some(("tensors", estimated_memory(memory_bytes))),
        Some((
            "time",
            format!(
                "{} estimated, by the speed of {} steps",
                HumanDuration(Duration::from_secs_f64(time.seconds)),
                time.measured_steps
            ),
        )),
    ];
    rows.into_iter().flatten().collect()
}

fn estimated_memory(memory: &MeasuredMemory) -> String {
    let estimate = &memory.estimate;
    let size = |bytes: usize| mib(bytes as u64);
    format!(
        "{} MiB by arithmetic: weights {}, gradients {}, optimiser {}, activations {} ({} rows of {}), \
         kept from epoch to epoch {}",
        size(estimate.total),
        size(estimate.weights),
        size(estimate.gradients),
        size(estimate.optimizer),
        size(estimate.activations),
        memory.rows,
        memory.length,
        size(estimate.activation_cache)
    )
}

fn expected_memory(memory: &MeasuredMemory) -> Option<String> {
    let (expected, peak) = (mib(memory.expected_peak?), mib(memory.measured_peak?));
    let before = mib(memory.measured_before_models);
    Some(format!(
        "{expected} MiB at most: {peak} in a step with the largest batch ({before} of them before \
         models), and the rest of what is kept from epoch to epoch"
    ))
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}
