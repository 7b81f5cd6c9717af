//! `--dry-run`: what a training run will be, without it.

use std::time::Duration;

use calm_lm::train::runs::Estimate;
use clap::Args;
use indicatif::HumanDuration;
use serde::Serialize;
use toml::Table;

use crate::cli::Common;
use crate::failure::Failure;
use crate::report::{Report, table};
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
    let memory = &memory_bytes.estimate;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    let size = |bytes: usize| mib(bytes as u64);
    let peak = memory_bytes.measured_peak.map(|peak| {
        let before = mib(memory_bytes.measured_before_models);
        format!(
            "{} MiB at most so far, {before} of them before models",
            mib(peak)
        )
    });
    let rows = [
        Some((
            "parameters",
            format!(
                "{} frozen, {} trained",
                parameters.frozen, parameters.trained
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
        Some((
            "memory",
            format!(
                "{} MiB estimated: weights {}, gradients {}, optimiser {}, activations {} ({} rows \
                 of {}), kept from epoch to epoch {}",
                size(memory.total),
                size(memory.weights),
                size(memory.gradients),
                size(memory.optimizer),
                size(memory.activations),
                memory_bytes.rows,
                memory_bytes.length,
                size(memory.activation_cache)
            ),
        )),
        peak.map(|peak| ("", peak)),
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
