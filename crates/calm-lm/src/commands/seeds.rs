//! `--seeds`: the same run with several seeds.

use std::path::{Path, PathBuf};

use calm_lm::eval::Spread;
use calm_lm::experiments::Seeds;
use calm_lm::train::RunSummary;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::report::{Report, columns, significant};

/// Runs of a training verb.
#[derive(Debug, Default, Args, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SeedArgs {
    /// Train once with each of these seeds, as 0..2 or 0,1,7, in DIR/seed-N
    ///
    /// Mean ± standard deviation of the results are printed at the end.
    #[arg(
        long,
        value_name = "SEEDS",
        help_heading = "Training",
        conflicts_with_all = ["seed", "dry_run"]
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Seeds>,
}

/// One of the runs.
pub(crate) struct SeedRun {
    pub(super) report: Report,
    pub(super) summary: Option<RunSummary>,
}

/// All of them, for programs.
#[derive(Serialize)]
struct SeedsReport<'a> {
    out: &'a Path,
    runs: Vec<SeedReport>,
    /// Loss of the results, in nats per target token.
    loss: Option<Spread>,
    /// Score of the results, if one was taken.
    metric: Option<Spread>,
}

#[derive(Serialize)]
struct SeedReport {
    seed: u64,
    out: PathBuf,
    result: Value,
}

impl SeedArgs {
    /// Runs with each seed in a directory of its own below `out`; none if there is one seed only.
    pub(super) fn run_each(
        &self,
        out: &Path,
        mut run: impl FnMut(u64, PathBuf) -> Result<SeedRun, Failure>,
    ) -> Result<Option<Report>, Failure> {
        let Some(seeds) = &self.seeds else {
            return Ok(None);
        };
        let (mut lines, mut runs, mut summaries) = (vec![header()], Vec::new(), Vec::new());
        for seed in seeds.as_slice() {
            let place = out.join(format!("seed-{seed}"));
            let done = run(*seed, place.clone())?;
            let what = match &done.summary {
                Some(summary) => summary.to_string(),
                None => "-".to_owned(),
            };
            lines.push(vec![seed.to_string(), place.display().to_string(), what]);
            summaries.extend(done.summary);
            let (seed, result) = (*seed, done.report.json());
            runs.push(SeedReport {
                seed,
                out: place,
                result,
            });
        }
        let losses: Vec<f64> = summaries.iter().map(|summary| summary.loss).collect();
        let metrics = summaries
            .iter()
            .filter_map(|summary| summary.metric.as_ref());
        let metrics: Vec<f64> = metrics.map(|metric| metric.value).collect();
        let (loss, metric) = (Spread::of(&losses), Spread::of(&metrics));
        let text = columns(&lines) + &spread_line(&summaries, loss.as_ref(), metric.as_ref());
        let json = SeedsReport {
            out,
            runs,
            loss,
            metric,
        };
        Ok(Some(Report::new(text, json)))
    }
}

fn header() -> Vec<String> {
    ["seed", "written to", "result"].map(str::to_owned).to_vec()
}

/// `held-out loss 1.19 ± 0.01 nats per token (mean ± standard deviation, 3 seeds)`.
fn spread_line(summaries: &[RunSummary], loss: Option<&Spread>, metric: Option<&Spread>) -> String {
    let (Some(first), Some(loss)) = (summaries.first(), loss) else {
        return String::new();
    };
    let kind = if first.held_out {
        "held-out"
    } else {
        "training"
    };
    let deviation = |spread: &Spread| match spread.seeds {
        1 => String::new(),
        _ => format!(" ± {}", significant(spread.deviation)),
    };
    let mut line = format!(
        "{kind} loss {}{} nats per token",
        significant(loss.mean),
        deviation(loss)
    );
    if let (Some(spread), Some(metric)) = (metric, &first.metric) {
        let percent = 100.0 * spread.mean;
        line += &format!(", {} {percent:.1}", metric.name);
        if spread.seeds > 1 {
            line += &format!(" ± {:.1}", 100.0 * spread.deviation);
        }
        line += " %";
    }
    format!("{line} (mean ± standard deviation, {} seeds)\n", loss.seeds)
}
