//! Charts as SVG: curves over common axes, and bars.

mod bars;
mod smooth;

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use bars::{Bar, Bars};
pub use smooth::{WINDOW_SHARE, half_window, moving_mean, thin};

/// Size of a picture without its legend, in pixels.
const SIZE: (i32, i32) = (760, 440);
const MARGIN: i32 = 14;
/// Room for the numbers and the name beside the vertical axis, and below the horizontal one.
const AXES: (i32, i32) = (64, 48);

/// Sizes of the legend, which stands above the curves: a line, a sample of a curve, the space
/// between two entries, and a letter.
const ENTRY: (i32, i32, i32) = (20, 26, 22);
const LETTER: f64 = 7.0;
const FONT: &str = "sans-serif";
const FONT_SIZE: i32 = 13;
const TEXT: RGBColor = RGBColor(38, 38, 38);

/// The colours of Okabe and Ito, which colour-blind readers can tell apart, then grey.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Number of ticks of an axis, about.
const TICKS: f64 = 8.0;

/// Length of dashes and of the gaps between them.
const DASH: (i32, i32) = (7, 5);

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
    /// How values become places.
    pub kind: AxisKind,
    /// Values with a tick; empty: round numbers.
    pub ticks: Vec<f64>,
}

/// How the values of an axis become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisKind {
    /// From the least value to the largest.
    Linear,
    /// From zero to the largest value, so that lengths can be compared.
    FromZero,
    /// By their logarithms. Values that are not positive are left out.
    Logarithmic,
}

/// Points that belong together. One without points is an entry of the legend only.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Name in the legend; empty: none.
    pub name: String,
    /// Its colour.
    pub color: Color,
    /// Style.
    pub style: Style,
    /// Points (x, y) from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Colour of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Curves with the same number have the same colour, and marks of the same shape.
    Of(usize),
    /// That of the text: a curve that all others are compared with, or an entry for a style.
    Neutral,
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
    /// A line of dashes.
    Dashed,
    /// Marks with no line.
    Marks,
}

/// Shape of a mark.
enum Shape {
    Circle,
    Triangle,
    Cross,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The area between the axes.
type Field<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Placed<'a>, Placed<'a>>>;

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// An axis in a picture. Logarithms are taken before, so that all kinds of axis have one type.
struct Placed<'a> {
    axis: &'a Axis,
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Placed<'_> {
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

impl ValueFormatter<f64> for Placed<'_> {
    fn format_ext(&self, place: &f64) -> String {
        number(self.axis.value(*place))
    }
}

impl Axis {
    /// An axis with round numbers.
    pub fn new(name: impl Into<String>, kind: AxisKind) -> Self {
        Self {
            name: name.into(),
            kind,
            ticks: Vec::new(),
        }
    }

    fn title(&self) -> String {
        match self.kind {
            AxisKind::Logarithmic => format!("{} (log scale)", self.name),
            AxisKind::Linear | AxisKind::FromZero => self.name.clone(),
        }
    }

    /// Place of a value on the axis; `None` if a logarithm cannot show it.
    fn place(&self, value: f64) -> Option<f64> {
        let place = match self.kind {
            AxisKind::Logarithmic => value.log10(),
            AxisKind::Linear | AxisKind::FromZero => value,
        };
        place.is_finite().then_some(place)
    }

    fn value(&self, place: f64) -> f64 {
        match self.kind {
            AxisKind::Logarithmic => 10f64.powf(place),
            AxisKind::Linear | AxisKind::FromZero => place,
        }
    }

    /// From the least to the most of these places, with a little room beyond, and the ticks.
    fn placed(&self, places: impl Iterator<Item = f64>, room: f64) -> Placed<'_> {
        let from_zero = self.kind == AxisKind::FromZero;
        let zero = from_zero.then_some(0.0);
        let (least, most) = places
            .chain(zero)
            .fold((f64::MAX, f64::MIN), |(least, most), place| {
                (least.min(place), most.max(place))
            });
        let (least, most) = match (least < most, least == most) {
            (true, _) => (least, most),
            (_, true) => (least - 0.5, most + 0.5),
            _ => (0.0, 1.0),
        };
        let room = room * (most - least);
        let below = if from_zero && least == 0.0 { 0.0 } else { room };
        let (least, most) = (least - below, most + room);
        let ticks = match self.ticks.as_slice() {
            [] if self.kind == AxisKind::Logarithmic => {
                round_in_decades(self.value(least), self.value(most))
            }
            [] => round_numbers(least, most),
            ticks => ticks.to_vec(),
        };
        let ticks = ticks.into_iter().filter_map(|tick| self.place(tick));
        Placed {
            axis: self,
            range: (least..most).into(),
            ticks: ticks.collect(),
        }
    }
}

/// A number at a tick, its thousands apart.
fn number(value: f64) -> String {
    let digits = (4.0 - value.abs().max(1e-9).log10().floor()).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.digits$}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = part.trim_end_matches('0');
    let dot = if part.is_empty() { "" } else { "." };
    let (sign, whole) = whole.split_at(usize::from(value < 0.0));
    if value.abs() < 1e4 {
        return format!("{sign}{whole}{dot}{part}");
    }
    let first = whole.len() % 3;
    let thousands = (first..whole.len()).step_by(3);
    let parts = thousands.map(|at| &whole[at..at + 3]);
    let parts = Some(&whole[..first])
        .filter(|part| !part.is_empty())
        .into_iter()
        .chain(parts);
    let whole = parts.collect::<Vec<_>>().join("\u{202f}");
    format!("{sign}{whole}{dot}{part}")
}

/// Numbers between these that are multiples of 1, 2 or 5 of some decade.
fn round_numbers(least: f64, most: f64) -> Vec<f64> {
    let rough = (most - least) / TICKS;
    let decade = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade);
    let step = steps.into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * decade);
    let (first, last) = ((least / step).ceil() as i64, (most / step).floor() as i64);
    (first..=last).map(|number| number as f64 * step).collect()
}

/// Numbers with one digit between these: powers of ten, and what lies between them if there is room.
fn round_in_decades(least: f64, most: f64) -> Vec<f64> {
    let decades = most.log10() - least.log10();
    let steps: &[f64] = match decades {
        ..0.9 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
        ..3.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    let powers = (first..=last).map(|exponent| 10f64.powi(exponent));
    let numbers = powers.flat_map(|power| steps.iter().map(move |step| step * power));
    numbers.filter(|n| (least..=most).contains(n)).collect()
}

impl Chart {
    /// The picture, an SVG text.
    #[must_use]
    pub fn svg(&self) -> String {
        self.svg_of(SIZE)
    }

    /// The picture, so many pixels wide and, without its legend, high.
    #[must_use]
    pub fn svg_of(&self, (width, height): (i32, i32)) -> String {
        let legend = self.legend(width);
        let lines = legend.last().map_or(0, |entry| entry.at.1 + 1);
        let top = MARGIN / 2 + lines * ENTRY.0;
        let size = [width, height + top].map(i32::unsigned_abs);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size.into()).into_drawing_area();
            // A picture in memory has nothing to fail at.
            let _ = self.draw(&area, &legend, top);
            let _ = area.present();
        }
        svg
    }

    /// Entries one after the other, in as many lines as it takes. Those that explain a style begin
    /// a line.
    fn legend(&self, width: i32) -> Vec<Entry<'_>> {
        let (left, right) = (MARGIN + AXES.0, width - MARGIN);
        let (mut x, mut line, mut keys) = (left, 0, false);
        let named = self.curves.iter().filter(|curve| !curve.name.is_empty());
        let entries = named.map(|curve| {
            let text = (curve.name.chars().count() as f64 * LETTER) as i32;
            let width = ENTRY.1 + 6 + text;
            let is_key = curve.points.is_empty() && !keys;
            keys = curve.points.is_empty();
            if x > left && (is_key || x + width > right) {
                (x, line) = (left, line + 1);
            }
            let at = (x, line);
            x += width + ENTRY.2;
            Entry { curve, at }
        });
        entries.collect()
    }

    fn draw(&self, area: &Area<'_>, legend: &[Entry<'_>], top: i32) -> Drawn {
        area.fill(&WHITE)?;
        for entry in legend {
            entry.draw(area)?;
        }
        let (_, below) = area.split_vertically(top);
        let places: Vec<Vec<(f64, f64)>> = self.curves.iter().map(|c| self.places(c)).collect();
        let all = || places.iter().flatten();
        let x = self.x.placed(all().map(|place| place.0), 0.0);
        let y = self.y.placed(all().map(|place| place.1), 0.05);
        let mut chart = ChartBuilder::on(&below)
            .margin(MARGIN)
            .margin_right(MARGIN + 12)
            .x_label_area_size(AXES.1)
            .y_label_area_size(AXES.0)
            .build_cartesian_2d(x, y)?;
        let font = (FONT, FONT_SIZE).into_font().color(&TEXT);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .axis_style(BLACK.mix(0.6))
            .label_style(font.clone())
            .axis_desc_style((FONT, FONT_SIZE + 1).into_font().color(&TEXT))
            .x_desc(self.x.title())
            .y_desc(self.y.title())
            .draw()?;
        for (curve, places) in self.curves.iter().zip(&places) {
            curve.draw(places, &mut chart)?;
        }
        Ok(())
    }

    fn places(&self, curve: &Curve) -> Vec<(f64, f64)> {
        let places = curve.points.iter();
        places
            .filter_map(|(x, y)| Some((self.x.place(*x)?, self.y.place(*y)?)))
            .collect()
    }
}

/// A curve in the legend, and its place: pixels from the left, and line.
struct Entry<'a> {
    curve: &'a Curve,
    at: (i32, i32),
}

impl Entry<'_> {
    fn draw(&self, area: &Area<'_>) -> Drawn {
        let (x, y) = (self.at.0, MARGIN + self.at.1 * ENTRY.0 + ENTRY.0 / 2);
        let line = [(x, y), (x + ENTRY.1, y)];
        let style = self.curve.stroke();
        match self.curve.style {
            Style::Marks => {}
            Style::Dashed => area.draw(&DashedPathElement::new(line, DASH.0, DASH.1, style))?,
            _ => area.draw(&PathElement::new(line, style))?,
        }
        let (at, style) = ((x + ENTRY.1 / 2, y), self.curve.rgb().stroke_width(2));
        match self.curve.shape() {
            None => {}
            Some(Shape::Circle) => area.draw(&Circle::new(at, 4, style.filled()))?,
            Some(Shape::Triangle) => area.draw(&TriangleMarker::new(at, 6, style.filled()))?,
            Some(Shape::Cross) => area.draw(&Cross::new(at, 4, style))?,
        }
        let font = (FONT, FONT_SIZE).into_font().color(&TEXT);
        let font = font.pos(Pos::new(HPos::Left, VPos::Center));
        let at = (x + ENTRY.1 + 6, y);
        area.draw(&Text::new(self.curve.name.clone(), at, font))
    }
}

impl Curve {
    fn rgb(&self) -> RGBColor {
        match self.color {
            Color::Of(number) => COLORS[number % COLORS.len()],
            Color::Neutral => TEXT,
        }
    }

    fn stroke(&self) -> ShapeStyle {
        match self.style {
            Style::Faint => self.rgb().mix(0.3).stroke_width(1),
            _ => self.rgb().stroke_width(2),
        }
    }

    /// The shape of its marks, which goes with its colour.
    fn shape(&self) -> Option<Shape> {
        let shape = match self.color {
            Color::Of(number) if number % 3 == 1 => Shape::Triangle,
            Color::Of(number) if number % 3 == 2 => Shape::Cross,
            _ => Shape::Circle,
        };
        matches!(self.style, Style::Marked | Style::Marks).then_some(shape)
    }

    /// Draws the curve through these places.
    fn draw<'a, 'b: 'a>(&self, places: &[(f64, f64)], chart: &mut Field<'a, 'b>) -> Drawn {
        let (stroke, line) = (self.stroke(), places.iter().copied());
        match self.style {
            Style::Marks => {}
            Style::Dashed => {
                chart.draw_series(DashedLineSeries::new(line, DASH.0, DASH.1, stroke))?;
            }
            Style::Line | Style::Marked | Style::Faint => {
                chart.draw_series(LineSeries::new(line, stroke))?;
            }
        }
        let (style, marks) = (self.rgb().stroke_width(2), places.iter().copied());
        match self.shape() {
            None => {}
            Some(Shape::Circle) => {
                let marks = marks.map(|at| Circle::new(at, 4, style.filled()));
                chart.draw_series(marks)?;
            }
            Some(Shape::Triangle) => {
                let marks = marks.map(|at| TriangleMarker::new(at, 6, style.filled()));
                chart.draw_series(marks)?;
            }
            Some(Shape::Cross) => {
                chart.draw_series(marks.map(|at| Cross::new(at, 4, style)))?;
            }
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
            round_numbers(0.0, 100.0),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
        assert_eq!(round_in_decades(0.03, 1.1), [0.05, 0.1, 0.2, 0.5, 1.0]);
        assert_eq!(round_in_decades(1.0, 1e6).len(), 7);
        assert_eq!(round_in_decades(1.1, 4.5), [1.5, 2.0, 3.0, 4.0]);
        let numbers = [0.05, 0.30000000000000004, 1000.0, 25_000.0, -1_234_567.0].map(number);
        assert_eq!(
            numbers,
            [
                "0.05",
                "0.3",
                "1000",
                "25\u{202f}000",
                "-1\u{202f}234\u{202f}567"
            ]
        );
    }

    fn curve(name: &str, style: Style, points: &[(f64, f64)]) -> Curve {
        Curve {
            name: name.to_owned(),
            color: Color::Of(0),
            style,
            points: points.to_vec(),
        }
    }

    fn chart(curves: Vec<Curve>) -> Chart {
        Chart {
            x: Axis::new("step", AxisKind::Linear),
            y: Axis::new("loss", AxisKind::Logarithmic),
            curves,
        }
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let svg = chart(vec![
            curve("a<b", Style::Line, &[(1.0, 4.0), (2.0, 2.0), (3.0, 1.0)]),
            // A logarithm cannot show the first point.
            curve("", Style::Marks, &[(1.0, 0.0), (2.0, 2.0)]),
        ]);
        let svg = svg.svg();
        assert!(svg.contains("a&lt;b") && svg.contains("loss"), "{svg}");
        assert_eq!(svg.matches("r=\"4\"").count(), 1, "{svg}");
        assert!(chart(Vec::new()).svg().contains("loss"));
    }

    #[test]
    fn a_legend_stands_above_the_curves_in_as_many_lines_as_it_takes() {
        let name = "a name of thirty-two characters.";
        let curves = (0..5).map(|_| curve(name, Style::Marked, &[(0.0, 1.0), (1.0, 2.0)]));
        let chart = chart(curves.collect());
        let lines: Vec<i32> = chart
            .legend(SIZE.0)
            .iter()
            .map(|entry| entry.at.1)
            .collect();
        assert_eq!(lines, [0, 0, 1, 1, 2]);
        let top = 3 * ENTRY.0 + MARGIN / 2 + SIZE.1;
        assert!(chart.svg().contains(&format!("height=\"{top}\"")));
    }

    #[test]
    fn lengths_begin_at_zero_where_they_are_to_be_compared() {
        let ends = |kind| {
            let range = Axis::new("s", kind)
                .placed([5.0, 10.0].into_iter(), 0.1)
                .range();
            (range.start, range.end)
        };
        assert_eq!(ends(AxisKind::FromZero), (0.0, 11.0));
        assert_eq!(ends(AxisKind::Linear), (4.5, 10.5));
    }
}
