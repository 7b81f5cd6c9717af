//! Attention weights as pictures.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The weights of one head.
pub(super) struct Panel<'a> {
    pub(super) title: String,
    /// Panels of the same model and bridge are drawn in a line.
    pub(super) line: (usize, usize),
    /// Texts of the anchor's tokens.
    pub(super) rows: Vec<&'a str>,
    /// Texts of the augmenting model's tokens.
    pub(super) columns: Vec<&'a str>,
    /// Columns that each row may see.
    pub(super) sees: &'a [Vec<usize>],
    /// Their weights.
    pub(super) weights: &'a [Vec<f32>],
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Sizes in pixels.
const TITLE: i32 = 18;
const GAP: i32 = 16;
const LETTER: i32 = 7;
/// Letters of a text; a longer one is cut.
const LETTERS: usize = 12;
/// Panels beside one another.
const ACROSS: usize = 4;
/// Longest side of a panel, as long as its cells can be seen.
const SIDE: i32 = 480;
const CELLS: std::ops::RangeInclusive<i32> = 3..=16;
/// Smallest cell that has room for a text beside it.
const LABELLED: i32 = 9;

const UNSEEN: RGBColor = RGBColor(228, 228, 228);
const FRAME: RGBColor = RGBColor(150, 150, 150);

/// Sizes of the panels of one line.
struct Sizes {
    cell: i32,
    /// Room for the texts of rows, and of columns.
    margins: [i32; 2],
    width: i32,
    height: i32,
}

/// The picture of these panels, an SVG text.
pub(super) fn draw(panels: &[Panel<'_>]) -> String {
    let lines: Vec<&[Panel<'_>]> = panels
        .chunk_by(|one, other| one.line == other.line)
        .flat_map(|line| line.chunks(ACROSS))
        .collect();
    let sizes: Vec<Sizes> = lines.iter().map(|line| Sizes::of(&line[0])).collect();
    let each = || lines.iter().zip(&sizes);
    let width = each()
        .map(|(line, sizes)| line.len() as i32 * sizes.width)
        .max();
    let height: i32 = sizes.iter().map(|sizes| sizes.height).sum();
    let size = [width.unwrap_or(0) + GAP, height + GAP].map(i32::unsigned_abs);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size.into()).into_drawing_area();
        let mut top = GAP;
        // A picture in memory has nothing to fail at.
        let _ = area.fill(&WHITE);
        for (line, sizes) in each() {
            for (place, panel) in line.iter().enumerate() {
                let left = GAP + place as i32 * sizes.width;
                let _ = sizes.panel(&area, [left, top], panel);
            }
            top += sizes.height;
        }
        let _ = area.present();
    }
    svg
}

impl Sizes {
    fn of(panel: &Panel<'_>) -> Self {
        let [rows, columns] = [&panel.rows, &panel.columns].map(|side| side.len().max(1) as i32);
        let cell = (SIDE / rows.max(columns)).clamp(*CELLS.start(), *CELLS.end());
        let longest = |texts: &[&str]| {
            let letters = texts.iter().map(|text| shown(text).chars().count());
            letters.max().unwrap_or(0) as i32 * LETTER + 6
        };
        let margins = match cell >= LABELLED {
            true => [longest(&panel.rows), longest(&panel.columns)],
            false => [0, 0],
        };
        let title = panel.title.chars().count() as i32 * LETTER;
        Self {
            cell,
            margins,
            width: (margins[0] + columns * cell).max(title) + GAP,
            height: TITLE + rows * cell + margins[1] + GAP,
        }
    }

    fn panel(
        &self,
        area: &Area<'_>,
        [left, top]: [i32; 2],
        panel: &Panel<'_>,
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let cell = self.cell;
        let [x0, y0] = [left + self.margins[0], top + TITLE];
        let [x1, y1] = [panel.columns.len(), panel.rows.len()].map(|count| count as i32 * cell);
        let font = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
        area.draw(&Text::new(panel.title.clone(), (left, top), font(12)))?;
        let field = [(x0, y0), (x0 + x1, y0 + y1)];
        area.draw(&Rectangle::new(field, UNSEEN.filled()))?;
        for (row, (sees, weights)) in panel.sees.iter().zip(panel.weights).enumerate() {
            let y = y0 + row as i32 * cell;
            for (column, weight) in sees.iter().zip(weights) {
                let x = x0 + *column as i32 * cell;
                let square = [(x, y), (x + cell, y + cell)];
                area.draw(&Rectangle::new(square, shade(*weight).filled()))?;
            }
        }
        area.draw(&Rectangle::new(field, FRAME.stroke_width(1)))?;
        if cell < LABELLED {
            return Ok(());
        }
        let right = font(11).pos(Pos::new(HPos::Right, VPos::Center));
        for (row, text) in panel.rows.iter().enumerate() {
            let at = (x0 - 4, y0 + row as i32 * cell + cell / 2);
            area.draw(&Text::new(shown(text), at, right.clone()))?;
        }
        let turned = ("sans-serif", 11)
            .into_font()
            .transform(FontTransform::Rotate270);
        let turned = turned
            .color(&BLACK)
            .pos(Pos::new(HPos::Right, VPos::Center));
        for (column, text) in panel.columns.iter().enumerate() {
            let at = (x0 + column as i32 * cell + cell / 2, y0 + y1 + 4);
            area.draw(&Text::new(shown(text), at, turned.clone()))?;
        }
        Ok(())
    }
}

/// From white to dark blue.
fn shade(weight: f32) -> RGBColor {
    let weight = weight.clamp(0.0, 1.0).sqrt();
    let part = |dark: f32| (255.0 - weight * (255.0 - dark)).round() as u8;
    RGBColor(part(8.0), part(48.0), part(107.0))
}

/// A text in one short line, space made visible.
fn shown(text: &str) -> String {
    let visible = |letter: char| match letter {
        ' ' => '␣',
        '\n' => '⏎',
        letter if letter.is_control() => '·',
        letter => letter,
    };
    let mut letters: Vec<char> = text.chars().map(visible).collect();
    if letters.len() > LETTERS {
        letters.truncate(LETTERS - 1);
        letters.push('…');
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_one_short_line() {
        assert_eq!(shown(" a\n"), "␣a⏎");
        assert_eq!(shown("abcdefghijklmnop"), "abcdefghijk…");
    }

    #[test]
    fn only_cells_that_are_seen_are_drawn() {
        let sees = [vec![0], vec![0, 1]];
        let weights = [vec![1.0], vec![0.0, 0.25]];
        let panel = Panel {
            title: "head".to_owned(),
            line: (0, 0),
            rows: vec!["a", "b<"],
            columns: vec!["x", "&"],
            sees: &sees,
            weights: &weights,
        };
        let svg = draw(&[panel]);
        assert!(svg.contains("#08306B"), "all of the weight");
        // White ground, grey field, three cells and a frame.
        assert_eq!(svg.matches("<rect").count(), 6, "{svg}");
        assert!(svg.contains("b&lt;"), "{svg}");
        assert_eq!(draw(&[]).matches("<rect").count(), 1);
    }
}
