//! Rows of the table.

use calm_lm::compose::BridgeOptions;
use calm_lm::train::StepMetrics;
use miette::{IntoDiagnostic, Result};
use serde_json::{Value, json};

/// Steps at the end whose loss is averaged.
const LAST: usize = 50;

/// Names of the columns.
pub(super) const HEADER: &str = "\
| pair | options | rate | held-out: own | trained | last 50: own | trained | worst step / own | steps > 1.3 own | steps > own | gradient norm: worst / median |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

/// Losses of a training beside those of the anchor alone on the same batches.
pub(super) struct Losses<'a> {
    pub(super) steps: &'a [StepMetrics],
    pub(super) own_steps: &'a [f64],
    pub(super) held_out: f64,
    pub(super) own_held_out: f64,
}

/// A row. Steps are held against the anchor once the warm-up, a quarter of them, is over.
pub(super) fn row(
    name: &str,
    options: &BridgeOptions,
    rate: f64,
    losses: &Losses<'_>,
) -> Result<String> {
    let steps: Vec<f64> = losses
        .steps
        .iter()
        .map(|step| f64::from(step.loss))
        .collect();
    let ratios = steps
        .iter()
        .zip(losses.own_steps)
        .map(|(loss, own)| loss / own);
    let ratios: Vec<f64> = ratios.skip(steps.len() / 4).collect();
    let above = |limit: f64| ratios.iter().filter(|ratio| **ratio > limit).count();
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    let mut norms: Vec<f64> = losses.steps.iter().map(|step| step.gradient_norm).collect();
    norms.sort_by(f64::total_cmp);
    let unevenness = norms[norms.len() - 1] / norms[norms.len() / 2];
    let last = |values: &[f64]| {
        let values = &values[values.len().saturating_sub(LAST)..];
        values.iter().sum::<f64>() / values.len() as f64
    };
    Ok(format!(
        "| {name} | `{}` | {rate:e} | {:.3} | {:.3} | {:.3} | {:.3} | {worst:.2} | {} | {} | {unevenness:.1} |",
        departures(options)?,
        losses.own_held_out,
        losses.held_out,
        last(losses.own_steps),
        last(&steps),
        above(1.3),
        above(1.0),
    ))
}

/// The options that are not the paper's.
fn departures(options: &BridgeOptions) -> Result<Value> {
    let paper = json!(BridgeOptions::paper());
    let mut options = serde_json::to_value(options).into_diagnostic()?;
    if let Some(options) = options.as_object_mut() {
        options.retain(|name, value| paper.get(name) != Some(value));
    }
    Ok(options)
}
