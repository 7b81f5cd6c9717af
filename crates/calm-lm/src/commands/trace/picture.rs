//! Attention weights as a picture: a row for each connection, with the mean over its heads, then the
//! heads.

use super::canvas::{Align, Canvas};
use super::panel::{Grid, Panel, TITLE, UNSEEN, shade};

/// Attention of an anchor over one text.
pub(super) struct Picture<'a> {
    /// Name of the anchor.
    pub(super) anchor: String,
    /// Texts of its tokens.
    pub(super) tokens: Vec<&'a str>,
    pub(super) bridges: Vec<Bridge<'a>>,
}

/// The weights of one bridge.
pub(super) struct Bridge<'a> {
    /// Name of the connection.
    pub(super) title: String,
    /// Name of the augmenting model.
    pub(super) augmenting: &'a str,
    /// Texts of its tokens.
    pub(super) tokens: Vec<&'a str>,
    /// Tokens of it that each token of the anchor may see.
    pub(super) sees: &'a [Vec<usize>],
    /// `[head][token of the anchor]`: the weights of those that it sees.
    pub(super) heads: &'a [Vec<Vec<f32>>],
    /// `[token of the anchor]`: their mean over the heads.
    pub(super) mean: Vec<Vec<f32>>,
}

/// Sizes in pixels.
const MARGIN: i32 = 16;
const GAP: i32 = 20;
const HEADING: i32 = 24;
const SCALE: (i32, i32) = (180, 12);
/// Rows of heads beside the mean, at most.
const ROWS: usize = 4;
/// Room for the name of an axis.
const AXIS: i32 = 20;

/// Places of one row of the picture.
struct Row {
    mean: Grid,
    head: Grid,
    /// Rows and columns of the heads.
    heads: [i32; 2],
    size: (i32, i32),
}

/// The picture, an SVG text.
pub(super) fn draw(picture: &Picture<'_>) -> String {
    let rows = picture.bridges.iter();
    let rows: Vec<Row> = rows.map(|bridge| Row::of(picture, bridge)).collect();
    let title = match picture.bridges.as_slice() {
        [] => format!("{} reads nothing", picture.anchor),
        _ => format!("Attention weights of the bridges to {}", picture.anchor),
    };
    let narrowest = Canvas::width(&title, 15).max(SCALE.0 + 320);
    let width = rows.iter().map(|row| row.size.0).max().unwrap_or(0);
    let height: i32 = rows.iter().map(|row| row.size.1 + GAP).sum();
    let top = MARGIN + HEADING + SCALE.1 + 2 * GAP;
    let size = (width.max(narrowest) + 2 * MARGIN, top + height);
    Canvas::draw(size, |canvas| {
        canvas.text((MARGIN, MARGIN + 8), &title, 15, Align::Left);
        scale(canvas, (MARGIN, MARGIN + HEADING));
        let mut y = top;
        for (row, bridge) in rows.iter().zip(&picture.bridges) {
            row.draw(canvas, (MARGIN, y), picture, bridge);
            y += row.size.1 + GAP;
        }
    })
}

/// The meaning of the colours.
fn scale(canvas: &Canvas<'_>, (x, y): (i32, i32)) {
    let (width, height) = SCALE;
    let label = "weight";
    canvas.text((x, y + height / 2), label, 12, Align::Left);
    let x = x + Canvas::width(label, 12) + 10;
    for at in 0..width {
        let weight = at as f32 / (width - 1) as f32;
        // To the end, so that no seam shows between two.
        canvas.fill((x + at, y), (width - at, height), shade(weight));
    }
    canvas.frame((x, y), (width, height));
    for (part, text) in ["0", "0.25", "0.5", "0.75", "1"].into_iter().enumerate() {
        let at = x + part as i32 * width / 4;
        canvas.text((at, y + height + 9), text, 11, Align::Center);
    }
    let x = x + width + 2 * GAP;
    canvas.fill((x, y), (height, height), UNSEEN);
    canvas.frame((x, y), (height, height));
    let at = (x + height + 8, y + height / 2);
    canvas.text(at, "not visible to the token", 12, Align::Left);
}

impl Row {
    fn of(picture: &Picture<'_>, bridge: &Bridge<'_>) -> Self {
        let mean = Grid::of(&picture.tokens, &bridge.tokens);
        let count = bridge.heads.len();
        let (heads, head) = match count {
            0 | 1 => ([0, 0], mean.small(0)),
            _ => heads_beside(&mean, count),
        };
        let [high, wide] = heads;
        let beside = match wide {
            0 => 0,
            _ => GAP + wide * (head.panel_width() + GAP / 2),
        };
        let body = (mean.height() + mean.below + AXIS)
            .max(high * (head.height() + TITLE) + (high - 1).max(0) * GAP / 2 - TITLE);
        let width = AXIS + mean.left + mean.panel_width() + beside;
        Self {
            mean,
            head,
            heads,
            size: (
                width.max(Canvas::width(&bridge.title, 13)),
                HEADING + TITLE + body,
            ),
        }
    }

    fn draw(&self, canvas: &Canvas<'_>, (x, y): (i32, i32), all: &Picture<'_>, of: &Bridge<'_>) {
        let mean = &self.mean;
        canvas.text((x, y + 8), &of.title, 13, Align::Left);
        let (left, top) = (x + AXIS + mean.left, y + HEADING);
        let title = match of.heads.len() {
            1 => "its one head".to_owned(),
            heads => format!("mean of {heads} heads"),
        };
        let panel = |title, weights| Panel {
            title,
            sees: of.sees,
            weights,
        };
        panel(title, &of.mean).draw(canvas, (left, top), mean);
        mean.labels(canvas, (left, top + TITLE), [&all.tokens, &of.tokens]);
        let middle = top + TITLE + mean.height() / 2;
        canvas.turned((x + 7, middle), &format!("tokens of {}", all.anchor));
        let below = top + TITLE + mean.height() + mean.below + AXIS / 2;
        let middle = left + mean.width() / 2;
        let name = format!("tokens of {}", of.augmenting);
        // A long name of a narrow map begins where the map does.
        let (at, align) = match Canvas::width(&name, 12) > mean.width() + 2 * mean.left {
            true => (left, Align::Left),
            false => (middle, Align::Center),
        };
        canvas.text((at, below), &name, 12, align);

        let (first, head) = (left + mean.panel_width() + GAP, &self.head);
        for (number, weights) in of.heads.iter().enumerate().filter(|_| self.heads[1] > 0) {
            let (row, column) = (number as i32 / self.heads[1], number as i32 % self.heads[1]);
            let x = first + column * (head.panel_width() + GAP / 2);
            let y = top + row * (head.height() + TITLE + GAP / 2);
            panel(format!("head {}", number + 1), weights).draw(canvas, (x, y), head);
        }
    }
}

/// Rows and columns of so many heads, and their sizes: together as high as the mean beside them,
/// and in as few rows as keep them at most twice as wide.
fn heads_beside(mean: &Grid, count: usize) -> ([i32; 2], Grid) {
    let arranged = |rows: usize| {
        let (high, wide) = (rows as i32, count.div_ceil(rows) as i32);
        let room = (mean.height() + TITLE - (high - 1) * GAP / 2) / high - TITLE;
        ([high, wide], mean.small(room))
    };
    let fits = |[_, wide]: [i32; 2], head: &Grid| {
        wide * (head.panel_width() + GAP / 2) <= 2 * mean.panel_width()
    };
    let all = (1..=ROWS).map(arranged);
    let fitting = all.clone().find(|(heads, head)| fits(*heads, head));
    fitting.unwrap_or_else(|| arranged(ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture<'a>(sees: &'a [Vec<usize>], heads: &'a [Vec<Vec<f32>>]) -> Picture<'a> {
        Picture {
            anchor: "big".to_owned(),
            tokens: vec!["a", "b<"],
            bridges: vec![Bridge {
                title: "block 2 of small → block 1 of big".to_owned(),
                augmenting: "small",
                tokens: vec!["x", "&"],
                sees,
                heads,
                mean: heads[0].clone(),
            }],
        }
    }

    #[test]
    fn a_row_has_the_mean_and_every_head() {
        let sees = [vec![0], vec![0, 1]];
        let heads = vec![vec![vec![1.0], vec![0.0, 0.25]]; 3];
        let svg = draw(&picture(&sees, &heads));
        for text in [
            "mean of 3 heads",
            "head 3",
            "tokens of big",
            "tokens of small",
            "block 2 of",
        ] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.contains("b&lt;") && svg.contains("&amp;"), "{svg}");
        // All of the weight: in four maps, and at the end of the scale.
        let full = |svg: &str| svg.matches("#08306B").count();
        let scale = draw(&Picture {
            bridges: Vec::new(),
            ..picture(&sees, &heads)
        });
        assert_eq!(full(&svg), full(&scale) + 4, "{svg}");
        let one = draw(&picture(&sees, &heads[..1]));
        assert!(
            one.contains("its one head") && !one.contains("head 1"),
            "{one}"
        );
    }

    #[test]
    fn an_anchor_that_reads_nothing_has_a_picture_too() {
        let heads = [Vec::new()];
        let nothing = Picture {
            bridges: Vec::new(),
            ..picture(&[], &heads)
        };
        assert!(draw(&nothing).contains("big reads nothing"));
    }
}
