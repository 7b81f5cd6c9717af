//! A table as text for a terminal.

use super::bands::Band;
use super::numbers;
use super::sheet::{FEW, Outcome, Sheet};
use crate::table::{Score, Table};

/// The table with its verdicts, in columns. Texts of others stand in it as they are.
pub fn terminal(table: &Table) -> String {
    let sheet = Sheet::of(table);
    let mut lines: Vec<Line> = vec![heading(&sheet)];
    for block in &sheet.blocks {
        if let Some(group) = block.group {
            lines.push(Line::Text(group.to_owned()));
        }
        for row in &block.rows {
            for band in row.bands() {
                let indent = if std::ptr::eq(band, &row.whole) {
                    ""
                } else {
                    "  "
                };
                lines.extend(of_band(&sheet, band, indent));
            }
            let languages = row.languages();
            let few = languages
                .into_iter()
                .filter(|_| row.task.languages.len() <= FEW);
            lines.extend(
                few.map(|(name, scores)| Line::of(&format!("  {name}"), &scores, Vec::new())),
            );
        }
    }
    for finding in &table.findings {
        let [mark, word] = numbers::reached(finding.is_reached);
        let (title, expected, found) = (&finding.title, &finding.expected, &finding.found);
        lines.push(Line::Text(format!(
            "{mark} {title}: {found} ({expected}): {word}"
        )));
    }
    let title = &table.frame.title;
    format!("{title}\n\n{}", aligned(&lines))
}

/// A line of the table.
enum Line {
    /// Cells, the first of which is a text and the others numbers.
    Cells(Vec<String>),
    /// A text over all columns.
    Text(String),
}

fn heading(sheet: &Sheet<'_>) -> Line {
    let first = std::iter::once(String::new());
    Line::Cells(first.chain(sheet.columns(str::to_owned)).collect())
}

/// The scores of a task or a group, its wins and its verdict.
fn of_band(sheet: &Sheet<'_>, band: &Band<'_>, indent: &str) -> Vec<Line> {
    let figure = |figure: &Option<f64>| figure.map_or(String::new(), numbers::points);
    let paper = band.paper.iter().map(figure).collect();
    let mut lines = vec![Line::of(
        &format!("{indent}{}", band.name),
        &band.scores,
        paper,
    )];
    if let (Some(wins), Some([_, reference])) = (&band.wins, sheet.compared()) {
        let name = format!(
            "{indent}  of {}, better than {reference} in",
            wins.languages
        );
        let systems = wins.systems.iter().map(|wins| numbers::wins(*wins));
        let paper = wins
            .paper
            .iter()
            .map(|wins| wins.unwrap_or_default().to_owned());
        lines.push(Line::Cells(
            std::iter::once(name).chain(systems).chain(paper).collect(),
        ));
    }
    if let Some((difference, verdict)) = band.verdict {
        let mark = Outcome::of(difference).mark();
        lines.push(Line::Text(format!("{indent}  {mark} {verdict}")));
    }
    lines
}

impl Line {
    fn of(name: &str, scores: &[Option<Score>], paper: Vec<String>) -> Self {
        let scores = scores.iter().map(|score| numbers::score(score.as_ref()));
        Self::Cells(
            std::iter::once(name.to_owned())
                .chain(scores)
                .chain(paper)
                .collect(),
        )
    }
}

/// Cells below each other: the first column from the left, others from the right.
fn aligned(lines: &[Line]) -> String {
    let cells = || {
        lines.iter().filter_map(|line| match line {
            Line::Cells(cells) => Some(cells),
            Line::Text(_) => None,
        })
    };
    let columns = cells().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = cells().filter_map(|cells| Some(cells.get(column)?.chars().count()));
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = lines.iter().map(|line| match line {
        Line::Text(text) => format!("{text}\n"),
        Line::Cells(cells) => {
            let padded = cells.iter().zip(&widths).enumerate();
            let padded = padded.map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            format!("{}\n", line.trim_end())
        }
    });
    lines.collect()
}
