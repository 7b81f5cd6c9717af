//! Pictures of measurements.

use std::path::Path;

use miette::{Result, miette};
use plotters::prelude::*;

/// What the curves of [`growth`] are.
const CURVES: [(&str, RGBColor); 3] = [
    ("anchor alone", RGBColor(31, 119, 180)),
    ("composed", RGBColor(214, 39, 40)),
    ("anchor alone, transformers", RGBColor(127, 127, 127)),
];

/// Milliseconds per decoded token against the length of the context, both on logarithmic axes.
pub(super) fn growth(path: &Path, rows: &[(usize, [f64; 3])]) -> Result<()> {
    draw(path, rows).map_err(|error| miette!("{}: {error}", path.display()))
}

fn draw(path: &Path, rows: &[(usize, [f64; 3])]) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (720, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    let all = rows.iter().flat_map(|(_, seconds)| seconds);
    let (least, most) = all.fold((f64::MAX, 0_f64), |(least, most), seconds: &f64| {
        (least.min(*seconds), most.max(*seconds))
    });
    let contexts: Vec<f64> = rows.iter().map(|(context, _)| *context as f64).collect();
    let axis = contexts[0]..contexts[contexts.len() - 1];
    let axis = axis.log_scale().with_key_points(contexts);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(60)
        .build_cartesian_2d(axis, (least * 0.8..most * 1.2).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("tokens before")
        .y_desc("ms per token")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    for (curve, (name, color)) in CURVES.into_iter().enumerate() {
        let points = rows
            .iter()
            .map(|(context, milliseconds)| (*context as f64, milliseconds[curve]));
        let line = LineSeries::new(points, color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
