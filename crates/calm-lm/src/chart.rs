//! Charts of curves as SVG, for the binary `calm` and for `xtask`.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// Size of a picture in pixels.
const SIZE: (u32, u32) = (760, 460);

/// Colours that colour-blind readers can tell apart.
const COLORS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(255, 127, 14),
    RGBColor(148, 103, 189),
    RGBColor(127, 127, 127),
];

/// Number of ticks of an axis, about.
const TICKS: f64 = 8.0;

/// Curves over common axes.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// In the order of the legend.
    pub curves: Vec<Curve>,
}

/// One side of a chart.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Quantity, with its unit.
    pub name: String,
    /// Whether the axis is logarithmic. Values that are not positive are then left out.
    pub is_logarithmic: bool,
    /// Values with a tick; empty: round numbers.
    pub ticks: Vec<f64>,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Name in the legend; empty: none.
    pub name: String,
    /// Curves with the same number have the same colour.
    pub color: usize,
    /// Style.
    pub style: Style,
    /// Points (x, y) from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Style of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line.
    Line,
    /// A line through marks.
    Marked,
    /// A line that stays behind the others.
    Faint,
    /// Marks with no line.
    Marks,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The area between the axes.
type Field<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Scale<'a>, Scale<'a>>>;

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An axis in a picture. Logarithms are taken before, so that both kinds of axis have one type.
struct Scale<'a> {
    axis: &'a Axis,
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Scale<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(place, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

impl ValueFormatter<f64> for Scale<'_> {
    fn format_ext(&self, place: &f64) -> String {
        self.axis.label(*place)
    }
}

impl Axis {
    /// An axis with round numbers.
    pub fn new(name: impl Into<String>, is_logarithmic: bool) -> Self {
        Self {
            name: name.into(),
            is_logarithmic,
            ticks: Vec::new(),
        }
    }

    /// Place of a value on the axis; `None` if a logarithm cannot show it.
    fn place(&self, value: f64) -> Option<f64> {
        let place = if self.is_logarithmic {
            value.log10()
        } else {
            value
        };
        place.is_finite().then_some(place)
    }

    fn value(&self, place: f64) -> f64 {
        if self.is_logarithmic {
            10f64.powf(place)
        } else {
            place
        }
    }

    /// From the least to the most of these places, with a little room beyond, and the ticks.
    fn scale(&self, places: impl Iterator<Item = f64>, room: f64) -> Scale<'_> {
        let (least, most) = places.fold((f64::MAX, f64::MIN), |(least, most), place| {
            (least.min(place), most.max(place))
        });
        let (least, most) = match (least < most, least == most) {
            (true, _) => (least, most),
            (_, true) => (least - 0.5, most + 0.5),
            _ => (0.0, 1.0),
        };
        let room = room * (most - least);
        let (least, most) = (least - room, most + room);
        let ticks = match self.ticks.as_slice() {
            [] => round_numbers(self.value(least), self.value(most), self.is_logarithmic),
            ticks => ticks.to_vec(),
        };
        let ticks = ticks.into_iter().filter_map(|tick| self.place(tick));
        Scale {
            axis: self,
            range: (least..most).into(),
            ticks: ticks.collect(),
        }
    }

    /// The number at a tick.
    fn label(&self, place: f64) -> String {
        let value = self.value(place);
        let digits = (4.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 12.0) as usize;
        let text = format!("{value:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    }
}

/// Numbers with one digit, 1, 2 or 5, between these.
fn round_numbers(least: f64, most: f64, is_logarithmic: bool) -> Vec<f64> {
    if is_logarithmic {
        let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        let steps: &[f64] = if f64::from(last - first) > TICKS / 2.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let decades = (first..=last).map(|exponent| 10f64.powi(exponent));
        let numbers = decades.flat_map(|decade| steps.iter().map(move |step| step * decade));
        return numbers.filter(|n| (least..=most).contains(n)).collect();
    }
    let rough = (most - least) / TICKS;
    let decade = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * decade);
    let (first, last) = ((least / step).ceil() as i64, (most / step).floor() as i64);
    (first..=last).map(|number| number as f64 * step).collect()
}

impl Chart {
    /// The picture, an SVG text.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            // A picture in memory has nothing to fail at.
            let _ = self.draw(&area);
            let _ = area.present();
        }
        svg
    }

    fn draw(&self, area: &Area<'_>) -> Drawn {
        area.fill(&WHITE)?;
        let places: Vec<Vec<(f64, f64)>> = self.curves.iter().map(|c| self.places(c)).collect();
        let all = || places.iter().flatten();
        let x = self.x.scale(all().map(|place| place.0), 0.0);
        let y = self.y.scale(all().map(|place| place.1), 0.05);
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(20)
            .x_label_area_size(44)
            .y_label_area_size(54)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.1))
            .x_desc(&self.x.name)
            .y_desc(&self.y.name)
            .draw()?;
        for (curve, places) in self.curves.iter().zip(&places) {
            curve.draw(places, &mut chart)?;
        }
        // Where the curves begin high, the right is free.
        let first = places.first().map_or(&[][..], Vec::as_slice);
        let falls = first.first().map(|at| at.1) > first.last().map(|at| at.1);
        chart
            .configure_series_labels()
            .position(match falls {
                true => SeriesLabelPosition::UpperRight,
                false => SeriesLabelPosition::UpperLeft,
            })
            .margin(12)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()
    }

    fn places(&self, curve: &Curve) -> Vec<(f64, f64)> {
        let places = curve.points.iter();
        places
            .filter_map(|(x, y)| Some((self.x.place(*x)?, self.y.place(*y)?)))
            .collect()
    }
}

impl Curve {
    /// Draws the curve through these places, and its entry of the legend.
    fn draw<'a, 'b>(&self, places: &[(f64, f64)], chart: &mut Field<'a, 'b>) -> Drawn
    where
        'b: 'a,
    {
        let color = COLORS[self.color % COLORS.len()];
        let stroke = match self.style {
            Style::Faint => color.mix(0.25).stroke_width(1),
            _ => color.stroke_width(2),
        };
        let (has_line, has_marks) = match self.style {
            Style::Line | Style::Faint => (true, false),
            Style::Marked => (true, true),
            Style::Marks => (false, true),
        };
        if has_line {
            chart.draw_series(LineSeries::new(places.iter().copied(), stroke))?;
        }
        let marks = if has_marks { places } else { &[] };
        let marks = marks.iter().map(|at| Circle::new(*at, 3, color.filled()));
        let drawn = chart.draw_series(marks)?;
        if !self.name.is_empty() {
            drawn.label(&self.name).legend(move |(x, y)| {
                let line = [(x, y), (x + 18, y)];
                let line = if has_line { &line[..] } else { &[] };
                EmptyElement::at((0, 0))
                    + PathElement::new(line.to_vec(), stroke)
                    + Circle::new((x + 9, y), if has_marks { 3 } else { 0 }, color.filled())
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        assert_eq!(
            round_numbers(0.0, 100.0, false),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
        assert_eq!(round_numbers(0.03, 1.1, true), [0.05, 0.1, 0.2, 0.5, 1.0]);
        assert_eq!(round_numbers(1.0, 1e6, true).len(), 7);
        let axis = Axis::new("loss", true);
        assert_eq!(axis.label(0.05f64.log10()), "0.05");
        assert_eq!(axis.label(3.0), "1000");
        assert_eq!(Axis::new("step", false).label(0.30000000000000004), "0.3");
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |name: &str, style, points: &[(f64, f64)]| Curve {
            name: name.to_owned(),
            color: 0,
            style,
            points: points.to_vec(),
        };
        let chart = Chart {
            x: Axis::new("step", false),
            y: Axis::new("loss", true),
            curves: vec![
                curve("a<b", Style::Line, &[(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)]),
                // A logarithm cannot show the first point.
                curve("", Style::Marks, &[(1.0, 0.0), (2.0, 2.0)]),
            ],
        };
        let svg = chart.svg();
        assert!(svg.contains("a&lt;b") && svg.contains("loss"), "{svg}");
        assert_eq!(svg.matches("r=\"3\"").count(), 1, "{svg}");
        let nothing = Chart {
            curves: Vec::new(),
            ..chart
        };
        assert!(nothing.svg().contains("loss"));
    }
}
