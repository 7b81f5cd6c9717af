//! One map of attention weights, a square for each pair of tokens.

use plotters::style::RGBColor;

use super::canvas::{Align, Canvas};

/// Height of the title of a map.
pub(super) const TITLE: i32 = 18;

/// Longest side of a map, as long as its squares can be seen.
const SIDE: i32 = 420;
const CELLS: std::ops::RangeInclusive<i32> = 2..=28;
/// Smallest square that has room for a text beside it.
const LABELLED: i32 = 10;
/// Distance between numbers, where there is no room for texts.
const NUMBERED: i32 = 32;
/// Letters of a text; a longer one is cut.
const LETTERS: usize = 14;
const FONT: i32 = 11;

/// Colour of what cannot be seen.
pub(super) const UNSEEN: RGBColor = RGBColor(226, 226, 226);
const SHADES: f32 = 40.0;

/// Sizes of a map.
#[derive(Clone)]
pub(super) struct Grid {
    /// Rows and columns.
    count: [i32; 2],
    cell: i32,
    /// Room for the labels of rows.
    pub(super) left: i32,
    /// Room for the labels of columns.
    pub(super) below: i32,
}

/// Weights, with what they belong to.
pub(super) struct Panel<'a> {
    pub(super) title: String,
    /// Columns that each row may see.
    pub(super) sees: &'a [Vec<usize>],
    /// Their weights.
    pub(super) weights: &'a [Vec<f32>],
}

impl Grid {
    /// Sizes of a map of these tokens with labels.
    pub(super) fn of(rows: &[&str], columns: &[&str]) -> Self {
        let count = [rows, columns].map(|side| side.len().max(1) as i32);
        let cell = (SIDE / count[0].max(count[1])).clamp(*CELLS.start(), *CELLS.end());
        let grid = Self {
            count,
            cell,
            left: 0,
            below: 0,
        };
        let longest = |texts: &[&str]| {
            let widths = texts.iter().map(|text| Canvas::width(&shown(text), FONT));
            widths.max().unwrap_or(0) + 8
        };
        let (left, below) = match grid.has_texts() {
            true => (longest(rows), longest(columns)),
            false => (Canvas::width(&rows.len().to_string(), FONT) + 8, 18),
        };
        Self {
            left,
            below,
            ..grid
        }
    }

    /// The same tokens within this height, without labels.
    pub(super) fn small(&self, height: i32) -> Self {
        Self {
            cell: (height / self.count[0]).clamp(1, self.cell),
            left: 0,
            below: 0,
            ..*self
        }
    }

    pub(super) fn width(&self) -> i32 {
        self.count[1] * self.cell
    }

    pub(super) fn height(&self) -> i32 {
        self.count[0] * self.cell
    }

    /// Width with room for the title of a head.
    pub(super) fn panel_width(&self) -> i32 {
        self.width().max(Canvas::width("head 10", FONT))
    }

    fn has_texts(&self) -> bool {
        self.cell >= LABELLED
    }

    /// Every token beside its row or below its column; where there are too many, their numbers.
    pub(super) fn labels(&self, canvas: &Canvas<'_>, (x, y): (i32, i32), tokens: [&[&str]; 2]) {
        let [rows, columns] = tokens;
        let middle = |place: usize| place as i32 * self.cell + self.cell / 2;
        let bottom = y + self.height();
        if self.has_texts() {
            for (place, text) in rows.iter().enumerate() {
                canvas.text((x - 5, y + middle(place)), &shown(text), FONT, Align::Right);
            }
            for (place, text) in columns.iter().enumerate() {
                canvas.hanging((x + middle(place), bottom + 5), &shown(text), FONT);
            }
            return;
        }
        let steps = [10, 20, 50, 100, 200, 500, 1000];
        let step = steps
            .into_iter()
            .find(|step| *step as i32 * self.cell >= NUMBERED);
        let step = step.unwrap_or(5000);
        for number in (step..=rows.len()).step_by(step) {
            let at = (x - 5, y + middle(number - 1));
            canvas.text(at, &number.to_string(), FONT, Align::Right);
        }
        for number in (step..=columns.len()).step_by(step) {
            let at = (x + middle(number - 1), bottom + 10);
            canvas.text(at, &number.to_string(), FONT, Align::Center);
        }
    }
}

impl Panel<'_> {
    /// The title at this place, and the map below it.
    pub(super) fn draw(&self, canvas: &Canvas<'_>, (x, y): (i32, i32), grid: &Grid) {
        canvas.text((x, y + TITLE / 2 - 2), &self.title, FONT, Align::Left);
        let (y, size) = (y + TITLE, (grid.width(), grid.height()));
        canvas.fill((x, y), size, UNSEEN);
        for (row, (sees, weights)) in self.sees.iter().zip(self.weights).enumerate() {
            let y = y + row as i32 * grid.cell;
            let cells = sees.iter().zip(weights);
            let cells: Vec<(usize, RGBColor)> = cells.map(|(at, w)| (*at, shade(*w))).collect();
            // Squares of one colour that touch are one: maps of long texts stay small files.
            let runs = cells.chunk_by(|one, next| one.0 + 1 == next.0 && one.1 == next.1);
            for run in runs {
                let at = (x + run[0].0 as i32 * grid.cell, y);
                canvas.fill(at, (run.len() as i32 * grid.cell, grid.cell), run[0].1);
            }
        }
        canvas.frame((x, y), size);
    }
}

/// From white to dark blue; small weights can be told from none. There are as many shades as can be
/// told apart, and no more, so that alike squares are one.
pub(super) fn shade(weight: f32) -> RGBColor {
    let weight = (weight.clamp(0.0, 1.0).sqrt() * SHADES).round() / SHADES;
    let part = |dark: f32| (255.0 - weight * (255.0 - dark)).round() as u8;
    RGBColor(part(8.0), part(48.0), part(107.0))
}

/// A text in one short line, space made visible.
pub(super) fn shown(text: &str) -> String {
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
        assert_eq!(shown("abcdefghijklmnop"), "abcdefghijklm…");
    }

    #[test]
    fn maps_are_bounded_and_heads_fit_beside_the_mean() {
        let tokens = |count| vec!["token"; count];
        let few = Grid::of(&tokens(3), &tokens(4));
        assert_eq!((few.width(), few.height()), (4 * 28, 3 * 28));
        let many = Grid::of(&tokens(100), &tokens(100));
        assert_eq!((many.width(), many.below), (400, 18), "numbers, not texts");
        assert_eq!(many.small(190).height(), 100);
        assert_eq!(many.small(20).height(), 100, "a pixel at least");
    }

    #[test]
    fn only_cells_that_are_seen_are_drawn_and_alike_ones_together() {
        let sees = [vec![0], vec![0, 1, 2]];
        let weights = [vec![1.0], vec![0.0, 0.0, 0.25]];
        let panel = Panel {
            title: String::new(),
            sees: &sees,
            weights: &weights,
        };
        let grid = Grid::of(&["a", "b"], &["x", "y", "z"]);
        let svg = Canvas::draw((200, 200), |canvas| panel.draw(canvas, (0, 0), &grid));
        // White ground, a field, three runs of cells and a frame.
        assert_eq!(svg.matches("<rect").count(), 6, "{svg}");
    }
}
