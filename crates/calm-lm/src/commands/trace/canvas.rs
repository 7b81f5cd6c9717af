//! A picture of rectangles and texts, in pixels.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

const FRAME: RGBColor = RGBColor(120, 120, 120);
const TEXT: RGBColor = RGBColor(38, 38, 38);

/// A picture that is drawn in memory, which has nothing to fail at.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

/// The part of a text that is at its place. Vertically that is its middle.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

impl Canvas<'_> {
    /// A white picture with whatever `draw` puts on it, as SVG text.
    pub(super) fn draw(size: (i32, i32), draw: impl FnOnce(&Canvas<'_>)) -> String {
        let mut svg = String::new();
        {
            let size = (size.0.unsigned_abs(), size.1.unsigned_abs());
            let canvas = Canvas(SVGBackend::with_string(&mut svg, size).into_drawing_area());
            let _ = canvas.0.fill(&WHITE);
            draw(&canvas);
            let _ = canvas.0.present();
        }
        svg
    }

    /// Width of a text, about: fonts differ, and letters of East Asia are as wide as they are high.
    pub(super) fn width(text: &str, font: i32) -> i32 {
        let letters = text.chars().map(|letter| match letter {
            '\u{1100}'.. => 1.0,
            _ => 0.6,
        });
        (letters.sum::<f64>() * f64::from(font)).ceil() as i32
    }

    /// A rectangle of one colour.
    pub(super) fn fill(&self, at: (i32, i32), size: (i32, i32), color: RGBColor) {
        self.rectangle(at, size, color.filled());
    }

    /// The sides of a rectangle.
    pub(super) fn frame(&self, at: (i32, i32), size: (i32, i32)) {
        self.rectangle(at, size, FRAME.stroke_width(1));
    }

    fn rectangle(&self, (x, y): (i32, i32), (width, height): (i32, i32), style: ShapeStyle) {
        let corners = [(x, y), (x + width, y + height)];
        let _ = self.0.draw(&Rectangle::new(corners, style));
    }

    /// A text in one line.
    pub(super) fn text(&self, at: (i32, i32), text: &str, font: i32, align: Align) {
        let align = match align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        self.write(at, text, &("sans-serif", font).into_font(), align);
    }

    /// A text that is read from below, with its end at this place.
    pub(super) fn hanging(&self, at: (i32, i32), text: &str, font: i32) {
        let font = ("sans-serif", font).into_font();
        self.write(
            at,
            text,
            &font.transform(FontTransform::Rotate270),
            HPos::Right,
        );
    }

    /// The name of a vertical axis, with its middle at this place.
    pub(super) fn turned(&self, at: (i32, i32), text: &str) {
        let font = ("sans-serif", 12).into_font();
        self.write(
            at,
            text,
            &font.transform(FontTransform::Rotate270),
            HPos::Center,
        );
    }

    fn write(&self, at: (i32, i32), text: &str, font: &FontDesc<'_>, align: HPos) {
        let style = font.color(&TEXT).pos(Pos::new(align, VPos::Center));
        let _ = self.0.draw(&Text::new(text.to_owned(), at, style));
    }
}
