//! Rows of the main table: tasks, and groups of their languages.

use serde::Serialize;

use super::super::bands::{Band, Wins};
use super::super::numbers;
use super::super::sheet::{Block, Outcome, Sheet, TaskRow};
use super::views::{ScoreView, views};

/// Rows below one heading.
#[derive(Serialize)]
pub(super) struct BlockView<'a> {
    group: Option<&'a str>,
    rows: Vec<RowView<'a>>,
}

/// A task, or a group of its languages.
#[derive(Serialize)]
struct RowView<'a> {
    is_group: bool,
    title: &'a str,
    /// Number of languages of a task; 0 of a group.
    languages: usize,
    scores: Vec<Option<ScoreView>>,
    paper: Vec<String>,
    wins: Option<WinsView<'a>>,
    verdict: Option<Verdict<'a>>,
}

/// In how many languages systems are better than the reference.
#[derive(Serialize)]
struct WinsView<'a> {
    title: String,
    systems: Vec<String>,
    paper: Vec<&'a str>,
}

#[derive(Serialize)]
struct Verdict<'a> {
    mark: &'static str,
    word: &'static str,
    text: &'a str,
}

impl<'a> BlockView<'a> {
    pub(super) fn of(sheet: &Sheet<'a>, block: &Block<'a>) -> Self {
        let rows = block.rows.iter().flat_map(|row| {
            let whole = RowView::of(sheet, &row.whole, languages(row));
            let groups = row.groups.iter().map(|band| RowView {
                is_group: true,
                ..RowView::of(sheet, band, 0)
            });
            std::iter::once(whole).chain(groups)
        });
        Self {
            group: block.group,
            rows: rows.collect(),
        }
    }
}

fn languages(row: &TaskRow<'_>) -> usize {
    row.languages().len()
}

impl<'a> RowView<'a> {
    fn of(sheet: &Sheet<'a>, band: &Band<'a>, languages: usize) -> Self {
        let figures = band.paper.iter();
        let figures = figures.map(|figure| figure.map_or(String::new(), numbers::points));
        let wins = band.wins.as_ref();
        Self {
            is_group: false,
            title: band.name,
            languages,
            scores: views(&band.scores),
            paper: figures.collect(),
            wins: wins.and_then(|wins| WinsView::of(sheet, wins)),
            verdict: band.verdict.map(|(difference, text)| {
                let outcome = Outcome::of(difference);
                Verdict {
                    mark: outcome.mark(),
                    word: outcome.word(),
                    text,
                }
            }),
        }
    }
}

impl<'a> WinsView<'a> {
    fn of(sheet: &Sheet<'a>, wins: &Wins<'a>) -> Option<Self> {
        let [_, reference] = sheet.compared()?;
        let systems = wins.systems.iter().map(|wins| numbers::wins(*wins));
        let paper = wins.paper.iter().map(|wins| wins.unwrap_or_default());
        Some(Self {
            title: format!(
                "of {} languages, better than {reference} in",
                wins.languages
            ),
            systems: systems.collect(),
            paper: paper.collect(),
        })
    }
}
