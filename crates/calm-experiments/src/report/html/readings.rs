//! Attention of bridges over sample texts: what of a text the anchor read.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::numbers::count;
use super::super::sheet::Sheet;
use super::super::visible;
use crate::table::AttentionSample;

/// Shades of a token or a square, beside none.
pub(super) const LEVELS: u32 = 15;
/// Squares of all maps that a page shows.
const SQUARES: usize = 100_000;
/// Longest side of a map, and the sides of its squares, in pixels.
const SIDE: usize = 420;
const SQUARE: std::ops::RangeInclusive<usize> = 3..=15;
/// Smallest square that has room for a text beside it.
const LABELLED: usize = 10;
/// Letters of such a text, and the width of one.
const LETTERS: usize = 12;
const LETTER: f64 = 6.2;

/// Texts with the attention over them.
#[derive(Serialize)]
pub(super) struct Readings<'a> {
    attention: Words,
    pub(super) readings: Vec<Reading<'a>>,
}

#[derive(Serialize)]
struct Words {
    heading: String,
    note: String,
}

/// One text.
#[derive(Serialize)]
pub(super) struct Reading<'a> {
    title: String,
    anchor: &'static str,
    model: &'a str,
    of: &'static str,
    anchor_tokens: &'a [String],
    tokens: Vec<Token<'a>>,
    /// For every token of the anchor, a digit for each token that it may read.
    weights: String,
    maps: Vec<Map>,
}

#[derive(Serialize)]
struct Token<'a> {
    text: &'a str,
    level: u32,
    share: String,
}

/// Attention as squares.
#[derive(Serialize)]
struct Map {
    title: String,
    alt: String,
    width: usize,
    height: usize,
    left: f64,
    inner_width: usize,
    inner_height: usize,
    paths: Vec<Shade>,
    rows: Vec<Label>,
    columns: Vec<Label>,
}

/// Squares of one shade.
#[derive(Serialize)]
struct Shade {
    opacity: String,
    d: String,
}

/// A token beside its row or below its column.
#[derive(Serialize)]
struct Label {
    at: f64,
    text: String,
}

/// Weights, `[anchor tokens, augmenting tokens]`.
type Weights = Vec<Vec<f32>>;

impl<'a> Readings<'a> {
    pub(super) fn of(sheet: &Sheet<'a>) -> Self {
        let all = &sheet.table.attention;
        let mut squares = 0;
        let fits = |sample: &&'a AttentionSample| {
            let maps = 1 + sample.bridges.len();
            squares += maps * sample.anchor_tokens.len() * sample.augmenting_tokens.len();
            squares <= SQUARES
        };
        let shown = all.iter().take_while(fits);
        let readings: Vec<Reading> = shown.map(|sample| Reading::of(sheet, sample)).collect();
        let few = match readings.len() < all.len() {
            true => format!(
                " {} of {} texts are shown; all are in the page’s JSON.",
                count(readings.len() as u64),
                count(all.len() as u64)
            ),
            false => String::new(),
        };
        let note = format!(
            "The darker a token of the other model is, the more of the anchor’s attention its state got, as \
             the mean over bridges, heads and tokens; the darkest got most. A row of a map is a token of the \
             anchor, a column one of the other model.{few} Point at a token of the anchor, or choose it, to see \
             what that one read."
        );
        let heading = "What the anchor read of the other model’s text".to_owned();
        Self {
            attention: Words { heading, note },
            readings,
        }
    }
}

impl<'a> Reading<'a> {
    fn of(sheet: &Sheet<'a>, sample: &'a AttentionSample) -> Self {
        let size = (sample.anchor_tokens.len(), sample.augmenting_tokens.len());
        let bridges: Vec<&Weights> = sample
            .bridges
            .iter()
            .map(|bridge| &bridge.weights)
            .collect();
        let mean = mean(&bridges, size);
        let shares = column_means(&mean, size);
        let most = shares.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        let tokens = sample.augmenting_tokens.iter().zip(&shares);
        let tokens = tokens.map(|(text, share)| Token {
            text,
            level: level(share / most),
            share: format!("{:.1} % of the attention", 100.0 * share),
        });
        let rows = mean.iter().map(|row| {
            let digits = row
                .iter()
                .map(|weight| char::from_digit(level(*weight), 36).unwrap_or('0'));
            digits.collect::<String>()
        });
        let of_mean = match sample.bridges.len() {
            1 => None,
            bridges => Some(Map::of(sample, &mean, format!("mean of {bridges} bridges"))),
        };
        let each = sample.bridges.iter().map(|bridge| {
            let (from, to) = (bridge.augmenting_block, bridge.anchor_block);
            let title = format!("block {from} → block {to}");
            Map::of(sample, &fitted(&bridge.weights, size), title)
        });
        Self {
            title: match &*sample.task {
                "" => sheet.title(&sample.system).to_owned(),
                task => format!(
                    "{}, {}",
                    sheet.title(&sample.system),
                    sheet.task_title(task)
                ),
            },
            anchor: "The anchor",
            model: &sample.model,
            of: "as the mean over its tokens",
            anchor_tokens: &sample.anchor_tokens,
            tokens: tokens.collect(),
            weights: rows.collect::<Vec<_>>().join(" "),
            maps: of_mean.into_iter().chain(each).collect(),
        }
    }
}

impl Map {
    fn of(sample: &AttentionSample, weights: &Weights, title: String) -> Self {
        let (rows, columns) = (sample.anchor_tokens.len(), sample.augmenting_tokens.len());
        let side = (SIDE / rows.max(columns).max(1)).clamp(*SQUARE.start(), *SQUARE.end());
        let is_labelled = side >= LABELLED;
        let labels = |tokens: &[String], from: f64| -> Vec<Label> {
            let labels = tokens.iter().enumerate().filter(|_| is_labelled);
            let at = |place: usize| from + (place * side) as f64 + side as f64 / 2.0;
            labels
                .map(|(place, text)| Label {
                    at: at(place),
                    text: label(text),
                })
                .collect()
        };
        let widest = |labels: &[Label]| {
            let letters = labels.iter().map(|label| label.text.chars().count());
            (letters.max().unwrap_or(0) as f64 * LETTER).ceil() + 10.0
        };
        let of_rows = labels(&sample.anchor_tokens, 0.5);
        let left = widest(&of_rows) + 0.5;
        let of_columns = labels(&sample.augmenting_tokens, left);
        let below = widest(&of_columns);
        Self {
            alt: format!(
                "Attention map, {title}: {rows} tokens of the anchor, from above, over {columns} tokens of \
                 {}, from the left",
                sample.model
            ),
            title,
            width: left as usize + columns * side + 2,
            height: rows * side + 2 + below as usize,
            left,
            inner_width: columns * side,
            inner_height: rows * side,
            paths: shades(weights, side, left),
            rows: of_rows,
            columns: of_columns,
        }
    }
}

/// Squares of every shade as one path; those of a row that touch are one rectangle.
fn shades(weights: &Weights, side: usize, left: f64) -> Vec<Shade> {
    let mut paths = vec![String::new(); LEVELS as usize + 1];
    for (row, weights) in weights.iter().enumerate() {
        let levels: Vec<u32> = weights.iter().map(|weight| level(*weight)).collect();
        let mut column = 0;
        for run in levels.chunk_by(|one, other| one == other) {
            let (x, y, width) = (left + (column * side) as f64, row * side, run.len() * side);
            let path = &mut paths[run[0] as usize];
            let _ = write!(path, "M{x} {y}.5h{width}v{side}h-{width}z");
            column += run.len();
        }
    }
    let paths = paths
        .into_iter()
        .zip(0..)
        .skip(1)
        .filter(|(d, _)| !d.is_empty());
    let paths = paths.map(|(d, level)| Shade {
        opacity: format!("{:.2}", f64::from(level) / f64::from(LEVELS)),
        d,
    });
    paths.collect()
}

/// A shade; small weights can be told from none.
fn level(weight: f32) -> u32 {
    (weight.clamp(0.0, 1.0).sqrt() * LEVELS as f32).round() as u32
}

/// A token in one short line, space made visible.
fn label(token: &str) -> String {
    let spaces = token.chars().map(|letter| match letter {
        ' ' => '␣',
        '\n' => '⏎',
        '\t' => '⇥',
        letter => letter,
    });
    let spaces: String = spaces.collect();
    let mut letters: Vec<char> = visible(&spaces).chars().collect();
    if letters.len() > LETTERS {
        letters.truncate(LETTERS - 1);
        letters.push('…');
    }
    letters.into_iter().collect()
}

/// Weights of this size, zero where a file holds fewer.
fn fitted(weights: &Weights, (rows, columns): (usize, usize)) -> Weights {
    let row = |row: usize| {
        let weights = weights.get(row).map_or(&[][..], Vec::as_slice);
        let weight = |column| {
            weights
                .get(column)
                .copied()
                .filter(|weight: &f32| weight.is_finite())
        };
        (0..columns)
            .map(|column| weight(column).unwrap_or(0.0))
            .collect()
    };
    (0..rows).map(row).collect()
}

/// Mean over bridges.
fn mean(bridges: &[&Weights], (rows, columns): (usize, usize)) -> Weights {
    let mut mean = vec![vec![0.0; columns]; rows];
    for weights in bridges {
        for (sum, row) in mean.iter_mut().zip(fitted(weights, (rows, columns))) {
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, weight)| *sum += weight / bridges.len() as f32);
        }
    }
    mean
}

/// Mean over the anchor's tokens.
fn column_means(weights: &Weights, (rows, columns): (usize, usize)) -> Vec<f32> {
    let sum = |column: usize| weights.iter().map(|row| row[column]).sum::<f32>();
    (0..columns)
        .map(|column| sum(column) / rows.max(1) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_a_shade_are_one_path_and_weights_of_files_may_be_ragged() {
        let weights = fitted(&vec![vec![1.0, 1.0, f32::NAN], vec![0.25]], (2, 3));
        assert_eq!(weights, [[1.0, 1.0, 0.0], [0.25, 0.0, 0.0]]);
        let shades = shades(&weights, 10, 0.5);
        let paths: Vec<(&str, &str)> = shades
            .iter()
            .map(|s| (s.opacity.as_str(), s.d.as_str()))
            .collect();
        assert_eq!(
            paths,
            [
                ("0.53", "M0.5 10.5h10v10h-10z"),
                ("1.00", "M0.5 0.5h20v10h-20z")
            ]
        );
        assert_eq!(column_means(&weights, (2, 3)), [0.625, 0.5, 0.0]);
    }

    #[test]
    fn labels_are_one_short_line() {
        assert_eq!(label(" a\n\u{1b}"), r"␣a⏎\u{1b}");
        assert_eq!(label("abcdefghijklmnop"), "abcdefghijk…");
    }
}
