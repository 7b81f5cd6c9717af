//! The loss curve that lies beside a checkpoint.

use std::fmt::Write as _;

use calm_lm::train::StepMetrics;

/// Steps whose losses are averaged for a point of the curve: every step has some kinds of text, and
/// some kinds are much harder than others.
pub(super) const CURVE_STEPS: usize = 50;

/// A table in CSV: step, mean loss.
pub(super) fn curve(metrics: &[StepMetrics]) -> String {
    let mut text = String::from("step,loss\n");
    for steps in metrics.chunks(CURVE_STEPS) {
        let mean = steps.iter().map(|step| f64::from(step.loss)).sum::<f64>() / steps.len() as f64;
        let last = steps.last().map_or(0, |step| step.step);
        let _ = writeln!(text, "{last},{mean:.4}");
    }
    text
}
