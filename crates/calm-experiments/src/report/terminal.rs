//! A table as text for a terminal.

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
            let paper = row
                .paper
                .iter()
                .map(|figure| figure.map_or(String::new(), numbers::points));
            lines.push(Line::of(&row.task.title, &row.scores(), paper.collect()));
            let named = row.groups().into_iter();
            let languages = row.languages();
            let few = if languages.len() <= FEW {
                languages
            } else {
                Vec::new()
            };
            for (name, scores) in named.chain(few) {
                lines.push(Line::of(&format!("  {name}"), &scores, Vec::new()));
            }
            if let Some(contrast) = row.contrast.filter(|contrast| !contrast.verdict.is_empty()) {
                let mark = Outcome::of(&contrast.difference).mark();
                lines.push(Line::Text(format!("  {mark} {}", contrast.verdict)));
            }
        }
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
