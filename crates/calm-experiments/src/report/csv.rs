//! A table as rows of numbers for spreadsheets and programs.

use calm_eval::tasks::TaskMetric;
use serde::Serialize;

use super::ReportError;
use super::sheet::{Sheet, TaskRow};
use crate::table::{Cell, Score, SystemFrame, SystemKind, Table};

/// A row. Numbers are written in full.
#[derive(Serialize)]
struct Row<'a> {
    group: String,
    task: String,
    metric: TaskMetric,
    system: String,
    kind: SystemKind,
    /// The language, the name of a group of languages, or nothing for the whole task.
    language: String,
    /// `language`, `group` or `task`.
    of: &'static str,
    /// The seed, or `mean`.
    seed: String,
    score: f64,
    deviation: Option<f64>,
    low_95: Option<f64>,
    high_95: Option<f64>,
    n: Option<usize>,
    paper: Option<f64>,
    signature: &'a str,
    directory: String,
}

/// A row for every system, task, language and seed, and one for every mean over seeds, as CSV of
/// RFC 4180 with a heading. A text that a spreadsheet would take for a formula has `'` before it.
///
/// # Errors
///
/// [`ReportError`] if memory fails.
pub fn csv(table: &Table) -> Result<String, ReportError> {
    let sheet = Sheet::of(table);
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in sheet.rows() {
        for (system, cell) in table.frame.systems.iter().zip(&row.cells) {
            let Some(cell) = cell else { continue };
            for row in rows(row, system, cell) {
                writer.serialize(row).map_err(std::io::Error::from)?;
            }
        }
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// All rows of a cell: the task as a whole, groups of languages, languages; means before seeds.
fn rows<'a>(row: &TaskRow<'_>, system: &SystemFrame, cell: &'a Cell) -> Vec<Row<'a>> {
    let task = row.task;
    let mean = |of, language: &str, score: &Score| Row {
        group: text(task.group.as_deref().unwrap_or_default()),
        task: text(&task.id),
        metric: task.metric,
        system: text(&system.id),
        kind: system.kind,
        language: text(language),
        of,
        seed: "mean".to_owned(),
        score: score.spread.mean,
        deviation: (score.spread.seeds > 1).then_some(score.spread.deviation),
        low_95: score.interval_95.map(|[low, _]| low),
        high_95: score.interval_95.map(|[_, high]| high),
        n: Some(score.n),
        paper: match (of, task.paper_of_groups.get(language)) {
            ("task", _) => task.paper.get(&system.id).copied(),
            ("group", Some(of)) => of.scores.get(&system.id).copied(),
            _ => None,
        },
        signature: &cell.signature,
        directory: String::new(),
    };
    let seeds = |of: &'static str, language: &str| -> Vec<Row<'a>> {
        let score = |seed: &crate::table::SeedResult| match of {
            "task" => Some(seed.score),
            _ => seed
                .languages
                .iter()
                .find(|(one, _)| one == language)
                .map(|(_, score)| *score),
        };
        let rows = cell.seeds.iter().filter_map(|seed| {
            Some(Row {
                seed: seed.seed.map_or(String::new(), |seed| seed.to_string()),
                score: score(seed)?,
                deviation: None,
                low_95: None,
                high_95: None,
                n: None,
                paper: None,
                directory: text(&seed.directory.display().to_string()),
                ..mean(of, language, &cell.score)
            })
        });
        rows.collect()
    };
    let mut rows = vec![mean("task", "", &cell.score)];
    rows.extend(seeds("task", ""));
    rows.extend(
        cell.groups
            .iter()
            .map(|(name, score)| mean("group", name, score)),
    );
    let languages = cell
        .languages
        .iter()
        .filter(|(language, _)| !language.is_empty());
    for (language, score) in languages {
        rows.push(mean("language", language, score));
        rows.extend(seeds("language", language));
    }
    rows
}

/// A text that no spreadsheet computes.
fn text(text: &str) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_are_texts() {
        assert_eq!(text("=1+1"), "'=1+1");
        assert_eq!(text("-m_A"), "'-m_A");
        assert_eq!(text("m_A = 1"), "m_A = 1");
    }
}
