//! The main table, its languages and parts.

use serde::Serialize;

use super::super::numbers;
use super::super::sheet::{FEW, Sheet, TaskRow};
use super::comparisons::FindingView;
use super::rows::BlockView;
use super::views::{DifferenceView, ScoreView, views};
use crate::table::{SystemFrame, SystemKind, TrainedRun};

/// The first screen of the page.
#[derive(Serialize)]
pub(super) struct Scores<'a> {
    composed: Vec<Part<'a>>,
    systems: Vec<Heading<'a>>,
    main_place: Option<usize>,
    table: MainTable<'a>,
}

/// A part of the main system, or the arrow behind it.
#[derive(Default, Serialize)]
struct Part<'a> {
    is_arrow: bool,
    is_trained: bool,
    name: &'a str,
    model: &'a str,
    state: String,
}

/// A column.
#[derive(Serialize)]
pub(super) struct Heading<'a> {
    title: &'a str,
    kind: &'static str,
    is_main: bool,
}

#[derive(Serialize)]
struct MainTable<'a> {
    caption: String,
    note: Option<String>,
    gain_note: Option<String>,
    columns: usize,
    paper: Vec<&'a str>,
    blocks: Vec<BlockView<'a>>,
    findings: Vec<FindingView<'a>>,
    of_languages: Vec<LanguageTable<'a>>,
    costs: Vec<CostLine>,
}

#[derive(Serialize)]
struct NamedScores<'a> {
    name: &'a str,
    scores: Vec<Option<ScoreView>>,
    gain: Option<DifferenceView>,
}

#[derive(Serialize)]
struct LanguageTable<'a> {
    title: &'a str,
    systems: Vec<Heading<'a>>,
    has_gains: bool,
    is_open: bool,
    languages: Vec<NamedScores<'a>>,
}

#[derive(Serialize)]
struct CostLine {
    name: &'static str,
    values: Vec<String>,
}

/// Scores by parts of the examples.
#[derive(Serialize)]
pub(super) struct BreakdownView<'a> {
    task: &'a str,
    title: &'a str,
    systems: Vec<Heading<'a>>,
    parts: Vec<PartScores<'a>>,
}

#[derive(Serialize)]
struct PartScores<'a> {
    name: &'a str,
    examples: String,
    scores: Vec<Option<ScoreView>>,
}

impl<'a> Scores<'a> {
    pub(super) fn of(sheet: &Sheet<'a>) -> Self {
        let frame = &sheet.table.frame;
        let paper: Vec<&str> = sheet
            .paper
            .iter()
            .map(|system| system.title.as_str())
            .collect();
        let blocks = sheet.blocks.iter();
        let blocks = blocks.map(|block| BlockView::of(sheet, block));
        let of_languages = sheet.rows().filter(|row| !row.languages().is_empty());
        let table = MainTable {
            caption: caption(sheet),
            note: note(sheet),
            gain_note: sheet
                .compared()
                .map(|[main, reference]| format!("Gain: {main} minus {reference}, in points.")),
            columns: 1 + frame.systems.len() + paper.len(),
            paper,
            blocks: blocks.collect(),
            findings: sheet.table.findings.iter().map(Into::into).collect(),
            of_languages: of_languages
                .map(|row| LanguageTable::of(sheet, row))
                .collect(),
            costs: costs(sheet),
        };
        Self {
            composed: composed(sheet),
            systems: headings(sheet),
            main_place: sheet.place(&frame.main),
            table,
        }
    }
}

/// The systems as columns.
fn headings<'a>(sheet: &Sheet<'a>) -> Vec<Heading<'a>> {
    let frame = &sheet.table.frame;
    let heading = |system: &'a SystemFrame| Heading {
        title: &system.title,
        kind: kind(system.kind),
        is_main: system.id == frame.main,
    };
    frame.systems.iter().map(heading).collect()
}

/// What is trained of a system.
fn kind(kind: SystemKind) -> &'static str {
    match kind {
        SystemKind::Frozen => "frozen",
        SystemKind::Composed => "bridges trained",
        SystemKind::Lora => "adapters trained",
        SystemKind::Finetuned => "all weights trained",
        SystemKind::Pretrained => "pretrained here",
    }
}

/// The models of the main system from the one that is read to the one that reads, and what is
/// trained between them.
fn composed<'a>(sheet: &Sheet<'a>) -> Vec<Part<'a>> {
    let frame = &sheet.table.frame;
    let Some(system) = frame.systems.iter().find(|system| system.id == frame.main) else {
        return Vec::new();
    };
    let is_trained = matches!(system.kind, SystemKind::Finetuned | SystemKind::Pretrained);
    let model = |(part, name): &'a (String, String)| Part {
        name: part,
        model: name,
        is_trained,
        state: if is_trained { "trained" } else { "frozen" }.to_owned(),
        ..Part::default()
    };
    let (mut anchors, read): (Vec<_>, Vec<_>) =
        system.models.iter().partition(|(part, _)| part == "m_B");
    if anchors.is_empty() {
        anchors.extend(read.last().copied());
    }
    let read = read.into_iter().filter(|model| !anchors.contains(model));
    let mut parts: Vec<Part> = read.map(model).collect();
    let between = match system.kind {
        SystemKind::Composed => Some("bridges"),
        SystemKind::Lora => Some("low-rank adapters"),
        SystemKind::Frozen | SystemKind::Finetuned | SystemKind::Pretrained => None,
    };
    let arrow = || Part {
        is_arrow: true,
        ..Part::default()
    };
    if let Some(name) = between {
        if !parts.is_empty() {
            parts.push(arrow());
        }
        parts.push(Part {
            name,
            is_trained: true,
            state: trained(sheet, &system.id),
            ..Part::default()
        });
        parts.push(arrow());
    }
    parts.extend(anchors.into_iter().map(model));
    parts
}

/// `trained: 329 216 parameters; blocks 1 → 1, 2 → 1`
fn trained(sheet: &Sheet<'_>, system: &str) -> String {
    let mut text = "trained".to_owned();
    if let [first, ..] = sheet.runs(system).as_slice() {
        let parameters = numbers::count(first.trained_parameters as u64);
        text = format!("{text}: {parameters} parameters");
    }
    let attention = sheet.table.attention.iter();
    let mut attention = attention.filter(|sample| sample.system == system);
    if let Some(sample) = attention.next() {
        let bridges = sample.bridges.iter();
        let pairs = bridges.map(|one| format!("{} → {}", one.augmenting_block, one.anchor_block));
        let pairs: Vec<String> = pairs.collect();
        let rest = pairs.len().saturating_sub(8);
        let more = if rest > 0 {
            format!(" and {rest} more")
        } else {
            String::new()
        };
        let pairs = pairs[..pairs.len() - rest].join(", ");
        text = format!("{text}; blocks {pairs}{more}");
    }
    text
}

impl<'a> LanguageTable<'a> {
    fn of(sheet: &Sheet<'a>, row: &TaskRow<'a>) -> Self {
        let gains = row.contrast.map_or(&[][..], |contrast| &contrast.languages);
        let languages = row
            .languages()
            .into_iter()
            .map(|(name, scores)| NamedScores {
                name,
                scores: views(&scores),
                gain: gains
                    .iter()
                    .find(|(one, _)| one == name)
                    .map(|(_, gain)| gain.into()),
            });
        let languages: Vec<NamedScores> = languages.collect();
        Self {
            title: &row.task.title,
            systems: headings(sheet),
            has_gains: !gains.is_empty(),
            is_open: languages.len() <= FEW,
            languages,
        }
    }
}

/// What the numbers of the table are.
fn caption(sheet: &Sheet<'_>) -> String {
    let mut metrics: Vec<&str> = sheet
        .rows()
        .map(|row| numbers::metric(row.task.metric))
        .collect();
    metrics.dedup();
    let seeds = sheet.rows().flat_map(|row| row.scores()).flatten();
    let most = seeds.map(|score| score.spread.seeds).max().unwrap_or(0);
    let seeds = match most {
        0 | 1 => String::new(),
        _ => format!(" Mean ± standard deviation over up to {most} seeds."),
    };
    format!(
        "{}, from 0 to 100.{seeds} [ ] are 95 % intervals.",
        metrics.join("; ")
    )
}

/// Which sentences there are.
fn note(sheet: &Sheet<'_>) -> Option<String> {
    let [main, reference] = sheet.compared()?;
    let untested = match sheet.rows().any(|row| !row.task.tested) {
        true => " Rows without a sentence are shown and not tested.",
        false => "",
    };
    Some(format!(
        "Sentences compare {main} with {reference} on the same examples, by paired randomisation, corrected for \
         all comparisons of this report (Holm).{untested}"
    ))
}

/// Cost of the systems, below their scores.
fn costs(sheet: &Sheet<'_>) -> Vec<CostLine> {
    let systems = &sheet.table.frame.systems;
    let line = |name, show: &dyn Fn(&[&TrainedRun]) -> Option<String>| CostLine {
        name,
        values: systems
            .iter()
            .map(|system| {
                let runs = sheet.runs(&system.id);
                match (runs.as_slice(), system.kind) {
                    ([], SystemKind::Frozen) => "0".to_owned(),
                    ([], _) => "–".to_owned(),
                    (runs, _) => show(runs).unwrap_or_else(|| "–".to_owned()),
                }
            })
            .collect(),
    };
    if sheet.table.runs.is_empty() {
        return Vec::new();
    }
    vec![
        line("trained parameters", &|runs| {
            Some(numbers::count(runs[0].trained_parameters as u64))
        }),
        line("training examples", &|runs| {
            Some(numbers::count(runs[0].examples as u64))
        }),
        line("steps", &|runs| Some(numbers::count(runs[0].steps as u64))),
        line("operations of a training", &|runs| {
            let all: Option<Vec<f64>> = runs.iter().map(|run| run.flops).collect();
            Some(numbers::power(mean(&all?)))
        }),
        line("time of a training", &|runs| {
            let all: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
            Some(numbers::seconds(mean(&all)))
        }),
    ]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

pub(super) fn breakdowns<'a>(sheet: &Sheet<'a>) -> Vec<BreakdownView<'a>> {
    let breakdowns = sheet.table.breakdowns.iter();
    let breakdowns = breakdowns.filter(|breakdown| !breakdown.parts.is_empty());
    breakdowns
        .map(|breakdown| BreakdownView {
            task: sheet.task_title(&breakdown.task),
            title: &breakdown.title,
            systems: headings(sheet),
            parts: breakdown
                .parts
                .iter()
                .map(|(name, scores)| PartScores {
                    name,
                    examples: scores
                        .iter()
                        .flatten()
                        .map(|score| score.n)
                        .max()
                        .map_or_else(|| "0".to_owned(), |n| numbers::count(n as u64)),
                    scores: views(scores),
                })
                .collect(),
        })
        .collect()
}
