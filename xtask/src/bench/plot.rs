//! Decoding behind contexts of growing length, as figures and as a chart.

use calm_lm::chart::{Axis, AxisKind, Chart, Color, Curve, Style};
use miette::Result;
use serde::Serialize;

use super::work::Work;
use super::{Bench, CONTEXTS, words};

/// Curves of the chart.
const CURVES: [&str; 3] = ["anchor alone", "composed", "anchor alone, transformers"];

/// Tokens of context, and milliseconds per token of each of [`CURVES`].
#[derive(Serialize)]
pub(super) struct Growth(usize, [f64; 3]);

/// Measures all contexts and draws decode.svg.
pub(super) fn growth(bench: &Bench<'_>, pair: &str) -> Result<Vec<Growth>> {
    let mut rows = Vec::new();
    for context in CONTEXTS {
        eprintln!("{pair} decoding behind {context} tokens");
        let flags = words(&format!("--prompt {context} --new 32 --repeats 3"));
        let only_cached = [&*flags, &["--cached-only".to_owned()]].concat();
        let ours = bench.ours(Work::Decode, &only_cached, pair)?;
        let peer = bench.peer(Work::Decode, &flags, pair)?.unwrap_or_default();
        let figures = [
            ours.get("anchor_alone_ms_per_token"),
            ours.get("composed_ms_per_token"),
            peer.get("anchor_alone_ms_per_token"),
        ];
        rows.push(Growth(
            context,
            figures.map(|figure| figure.unwrap_or(f64::NAN)),
        ));
    }
    bench.write("decode.svg", &chart(&rows).svg())?;
    Ok(rows)
}

/// Milliseconds per token against the length of the context, both on logarithmic axes.
fn chart(rows: &[Growth]) -> Chart {
    let curve = |(number, name): (usize, &str)| Curve {
        name: name.to_owned(),
        color: Color::Of(number),
        style: Style::Marked,
        points: rows
            .iter()
            .map(|Growth(context, figures)| (*context as f64, figures[number]))
            .filter(|(_, figure)| figure.is_finite())
            .collect(),
    };
    Chart {
        x: Axis {
            ticks: CONTEXTS.map(|context| context as f64).to_vec(),
            ..Axis::new("tokens of context", AxisKind::Logarithmic)
        },
        y: Axis::new("time per decoded token, ms", AxisKind::Logarithmic),
        curves: CURVES.into_iter().enumerate().map(curve).collect(),
    }
}
