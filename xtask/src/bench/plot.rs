//! Pictures of measurements.

use std::path::Path;

use calm_lm::chart::{Axis, Chart, Curve, Style};
use miette::{IntoDiagnostic, Result};

/// What the curves of [`growth`] are.
const CURVES: [&str; 3] = ["anchor alone", "composed", "anchor alone, transformers"];

/// Milliseconds per decoded token against the length of the context, both on logarithmic axes.
pub(super) fn growth(path: &Path, rows: &[(usize, [f64; 3])]) -> Result<()> {
    let curve = |(number, name): (usize, &str)| Curve {
        name: name.to_owned(),
        color: number,
        style: Style::Marked,
        points: rows
            .iter()
            .map(|(context, milliseconds)| (*context as f64, milliseconds[number]))
            .collect(),
    };
    let contexts = rows.iter().map(|(context, _)| *context as f64);
    let chart = Chart {
        x: Axis {
            ticks: contexts.collect(),
            ..Axis::new("tokens before", true)
        },
        y: Axis::new("ms per token", true),
        curves: CURVES.into_iter().enumerate().map(curve).collect(),
    };
    calm_files::write(path, chart.svg()).into_diagnostic()
}
