//! Bars side by side, with intervals.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{AXES, Area, Axis, COLORS, Drawn, FONT, FONT_SIZE, LETTER, MARGIN, TEXT};

/// Least and largest room of one bar, and its width within.
const STEPS: [i32; 2] = [20, 160];
const SHARE: f64 = 0.66;
const WIDEST: i32 = 46;
/// Half the width of the ends of an interval.
const CAP: i32 = 3;
/// Longest name below a bar, in letters.
const LETTERS: usize = 24;

/// Bars from zero over names, from left to right.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Vertical axis.
    pub y: Axis,
    /// Name of what the bars are of, below them.
    pub x: String,
    /// From left to right.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Name below it.
    pub name: String,
    /// Its length, which may be negative.
    pub value: f64,
    /// Ends of the line over it, if it has one.
    pub interval: Option<[f64; 2]>,
    /// Whether it stands out; others are pale.
    pub is_strong: bool,
}

/// Places of a picture, in pixels.
struct Places {
    width: i32,
    /// Height of the bars.
    height: i32,
    /// Room of each bar.
    step: i32,
    /// Room for the names.
    below: i32,
    /// Whether names are written upwards.
    is_upright: bool,
}

impl Bars {
    /// The picture, an SVG text: so many pixels high without names, and about as wide.
    #[must_use]
    pub fn svg_of(&self, size: (i32, i32)) -> String {
        let places = self.places(size);
        let (width, height) = (places.width, places.height + places.below + MARGIN + AXES.1);
        let mut svg = String::new();
        {
            let size = (width.unsigned_abs(), height.unsigned_abs());
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            // A picture in memory has nothing to fail at.
            let _ = self.draw(&area, &places);
            let _ = area.present();
        }
        svg
    }

    fn places(&self, (width, height): (i32, i32)) -> Places {
        let count = self.bars.len().max(1) as i32;
        let room = width - AXES.0 - 2 * MARGIN;
        let names = self.bars.iter().map(|bar| shortened(&bar.name));
        let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
        let longest = (longest as f64 * LETTER) as i32;
        let step = (room / count).clamp(STEPS[0], STEPS[1].min(longest.max(WIDEST) + 24));
        let is_upright = longest > step - 6;
        Places {
            width: AXES.0 + 2 * MARGIN + count * step,
            height,
            step,
            below: if is_upright { longest + 8 } else { ENTRY },
            is_upright,
        }
    }

    fn draw(&self, area: &Area<'_>, places: &Places) -> Drawn {
        area.fill(&WHITE)?;
        let values = self.bars.iter().flat_map(|bar| {
            let ends = bar.interval.iter().flatten().copied();
            std::iter::once(bar.value).chain(ends)
        });
        let y = self
            .y
            .placed(values.filter(|value| value.is_finite()), 0.05);
        let (left, bottom) = (AXES.0 + MARGIN, MARGIN + places.height);
        let pixel = |value: f64| y.map(&value, (bottom, MARGIN));
        let right = places.width - MARGIN;
        let font = (FONT, FONT_SIZE).into_font().color(&TEXT);
        for tick in &y.ticks {
            let at = pixel(*tick);
            area.draw(&PathElement::new([(left, at), (right, at)], BLACK.mix(0.1)))?;
            let font = font.pos(Pos::new(HPos::Right, VPos::Center));
            area.draw(&Text::new(super::number(*tick), (left - 6, at), font))?;
        }
        for (bar, number) in self.bars.iter().zip(0..) {
            let middle = left + number * places.step + places.step / 2;
            bar.draw(area, middle, places, &pixel)?;
            bar.label(area, (middle, bottom), places)?;
        }
        let zero = pixel(0.0);
        area.draw(&PathElement::new(
            [(left, zero), (right, zero)],
            BLACK.mix(0.6),
        ))?;
        let name = font.pos(Pos::new(HPos::Center, VPos::Center));
        let at = (left.midpoint(right), bottom + places.below + AXES.1 / 3);
        area.draw(&Text::new(self.x.clone(), at, name.clone()))?;
        let turned = (FONT, FONT_SIZE)
            .into_font()
            .transform(FontTransform::Rotate270);
        let turned = turned
            .color(&TEXT)
            .pos(Pos::new(HPos::Center, VPos::Center));
        let at = (MARGIN, MARGIN + places.height / 2);
        area.draw(&Text::new(self.y.title(), at, turned))
    }
}

/// Height of a line of names.
const ENTRY: i32 = super::ENTRY.0;

impl Bar {
    fn draw(
        &self,
        area: &Area<'_>,
        middle: i32,
        places: &Places,
        pixel: &impl Fn(f64) -> i32,
    ) -> Drawn {
        if !self.value.is_finite() {
            return Ok(());
        }
        let half = ((f64::from(places.step) * SHARE) as i32).min(WIDEST) / 2;
        let (from, to) = (pixel(self.value.max(0.0)), pixel(self.value.min(0.0)));
        let color = COLORS[usize::from(self.value < 0.0)];
        let color = color.mix(if self.is_strong { 1.0 } else { 0.45 });
        let corners = [(middle - half, from), (middle + half, to)];
        area.draw(&Rectangle::new(corners, color.filled()))?;
        let Some(ends) = self
            .interval
            .filter(|ends| ends.iter().all(|end| end.is_finite()))
        else {
            return Ok(());
        };
        let [low, high] = ends.map(pixel);
        let style = TEXT.stroke_width(1);
        area.draw(&PathElement::new([(middle, low), (middle, high)], style))?;
        for end in [low, high] {
            area.draw(&PathElement::new(
                [(middle - CAP, end), (middle + CAP, end)],
                style,
            ))?;
        }
        Ok(())
    }

    fn label(&self, area: &Area<'_>, (middle, bottom): (i32, i32), places: &Places) -> Drawn {
        let font = (FONT, FONT_SIZE).into_font();
        let (font, align, below) = match places.is_upright {
            true => (font.transform(FontTransform::Rotate270), HPos::Right, 6),
            false => (font, HPos::Center, ENTRY / 2 + 2),
        };
        let style = font.color(&TEXT).pos(Pos::new(align, VPos::Center));
        area.draw(&Text::new(
            shortened(&self.name),
            (middle, bottom + below),
            style,
        ))
    }
}

/// A name that has room.
fn shortened(name: &str) -> String {
    match name.chars().nth(LETTERS) {
        None => name.to_owned(),
        Some(_) => name.chars().take(LETTERS - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::AxisKind;
    use super::*;

    fn bars(values: &[f64], name: &str) -> Bars {
        let bar = |value: &f64| Bar {
            name: name.to_owned(),
            value: *value,
            interval: Some([value - 1.0, value + 1.0]),
            is_strong: true,
        };
        Bars {
            y: Axis::new("gain, points", AxisKind::FromZero),
            x: "languages".to_owned(),
            bars: values.iter().map(bar).collect(),
        }
    }

    #[test]
    fn bars_stand_on_zero_to_both_sides() {
        let svg = bars(&[3.0, -2.0, f64::NAN], "<a>").svg_of((400, 200));
        // White ground and two bars.
        assert_eq!(svg.matches("<rect").count(), 3, "{svg}");
        assert_eq!(svg.matches("&lt;a&gt;").count(), 3, "{svg}");
        assert_eq!(svg.matches("#D55E00").count(), 1, "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn many_bars_make_the_picture_wider_and_turn_its_names() {
        let few = bars(&[1.0; 3], "en").places((400, 200));
        assert!(!few.is_upright && few.width <= 400);
        let many = bars(&[1.0; 40], "eng_Latn").places((400, 200));
        assert!(many.is_upright && many.width > 800);
        let long = bars(&[1.0], &"x".repeat(99)).places((400, 200));
        assert!(long.below < 200, "{}", long.below);
    }
}
