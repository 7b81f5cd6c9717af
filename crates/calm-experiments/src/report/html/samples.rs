//! Examples with the outputs of all systems.

use std::collections::BTreeSet;

use calm_eval::tasks::TaskMetric;
use serde::Serialize;

use super::super::numbers::{count, points};
use super::super::sheet::Sheet;
use super::text::Shown;
use crate::table::{SampleOutput, SampleRow};

/// Samples that a page shows without scripts.
const STATIC: usize = 12;

/// The section of samples.
#[derive(Serialize)]
pub(super) struct Samples<'a> {
    note: String,
    chosen: String,
    /// The main system and the reference.
    compared: Option<[&'a str; 2]>,
    tasks: Vec<Choice<'a>>,
    languages: Vec<&'a str>,
    cards: Vec<Card<'a>>,
}

#[derive(Serialize)]
struct Choice<'a> {
    id: &'a str,
    title: &'a str,
}

#[derive(Serialize)]
struct Card<'a> {
    task: &'a str,
    language: &'a str,
    index: usize,
    prompt: Shown<'a>,
    target: Shown<'a>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    title: &'a str,
    is_main: bool,
    class: &'static str,
    score: String,
    text: Shown<'a>,
}

/// The main system beside the reference on an example.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Better,
    Worse,
    Same,
}

impl<'a> Samples<'a> {
    /// The section; `embedded` samples are in the page's JSON.
    pub(super) fn of(sheet: &Sheet<'a>, embedded: usize) -> Option<Self> {
        let (samples, frame) = (&sheet.table.samples, &sheet.table.frame);
        if samples.is_empty() {
            return None;
        }
        let chosen = chosen(sheet);
        let rule = match sheet.compared() {
            Some([main, reference]) => format!(
                "of each task the first that {main} answers better than {reference}, the first that it answers \
                 worse, and the first without a difference"
            ),
            None => "the first of each task".to_owned(),
        };
        let tasks: BTreeSet<&str> = samples.iter().map(|row| row.task.as_str()).collect();
        let tasks = frame
            .tasks
            .iter()
            .filter(|task| tasks.contains(task.id.as_str()));
        let languages: BTreeSet<&str> = samples.iter().map(|row| row.language.as_str()).collect();
        let languages = languages
            .into_iter()
            .filter(|language| !language.is_empty());
        Some(Self {
            note: note(sheet, embedded),
            chosen: format!("{} samples, chosen by rule: {rule}.", chosen.len()),
            compared: sheet.compared(),
            tasks: tasks
                .map(|task| Choice {
                    id: &task.id,
                    title: &task.title,
                })
                .collect(),
            languages: languages.collect(),
            cards: chosen.into_iter().map(|row| Card::of(sheet, row)).collect(),
        })
    }
}

/// Which samples there are.
fn note(sheet: &Sheet<'_>, embedded: usize) -> String {
    // Examples of a task, of the system that has most.
    let all: usize = sheet
        .rows()
        .map(|row| {
            row.scores()
                .iter()
                .flatten()
                .map(|score| score.n)
                .max()
                .unwrap_or(0)
        })
        .sum();
    let all = all.max(sheet.table.samples.len());
    let which = match embedded < all {
        true => format!(
            "{} of {} examples are in this page; all are in the directories of the evaluations, listed below.",
            count(embedded as u64),
            count(all as u64)
        ),
        false => format!("All {} examples are in this page.", count(embedded as u64)),
    };
    let seeds = sheet.rows().flat_map(|row| row.scores()).flatten();
    let has_seeds = seeds.map(|score| score.spread.seeds).max().unwrap_or(0) > 1;
    let seeds = if has_seeds {
        " Outputs are those of each system’s first seed."
    } else {
        ""
    };
    format!(
        "{which}{seeds} Texts are as the models wrote them; characters that would steer the page are written \
         out, as \\u{{1b}}."
    )
}

/// A few samples that show what the table says: the first of every kind of each task, kind by kind.
fn chosen<'a>(sheet: &Sheet<'a>) -> Vec<&'a SampleRow> {
    let frame = &sheet.table.frame;
    let (main, reference) = (sheet.place(&frame.main), sheet.place(&frame.reference));
    let score = |row: &SampleRow, place: Option<usize>| {
        row.outputs.get(place?)?.as_ref().map(|output| output.score)
    };
    let kind = |row: &SampleRow| match (score(row, main), score(row, reference)) {
        (Some(main), Some(reference)) if main > reference => Kind::Better,
        (Some(main), Some(reference)) if main < reference => Kind::Worse,
        _ => Kind::Same,
    };
    let kinds = [Kind::Better, Kind::Worse, Kind::Same].into_iter();
    let first = kinds.flat_map(|wanted| {
        frame.tasks.iter().filter_map(move |task| {
            let rows = sheet.table.samples.iter().enumerate();
            let mut rows = rows.filter(|(_, row)| row.task == task.id);
            rows.find(|(_, row)| kind(row) == wanted)
        })
    });
    let mut first: Vec<(usize, &SampleRow)> = first.take(STATIC).collect();
    first.sort_by_key(|(place, _)| *place);
    first.into_iter().map(|(_, row)| row).collect()
}

impl<'a> Card<'a> {
    fn of(sheet: &Sheet<'a>, row: &'a SampleRow) -> Self {
        let frame = &sheet.table.frame;
        let task = frame.tasks.iter().find(|task| task.id == row.task);
        let metric = task.map(|task| task.metric);
        let outputs = frame.systems.iter().zip(&row.outputs);
        let outputs = outputs.filter_map(|(system, output)| {
            let output = output.as_ref()?;
            let (class, score) = mark(metric, output);
            Some(Output {
                title: &system.title,
                is_main: system.id == frame.main,
                class,
                score,
                text: Shown::of(&output.text),
            })
        });
        Self {
            task: sheet.task_title(&row.task),
            language: &row.language,
            index: row.index,
            prompt: Shown::of_prompt(&row.prompt),
            target: Shown::of(&row.reference),
            outputs: outputs.collect(),
        }
    }
}

/// Whether an answer is right, where it is either; otherwise its score.
fn mark(metric: Option<TaskMetric>, output: &SampleOutput) -> (&'static str, String) {
    match (
        metric.is_some_and(|metric| !metric.is_of_texts()),
        output.score >= 100.0,
    ) {
        (true, true) => ("right", "✓ right".to_owned()),
        (true, false) => ("wrong", "✗ wrong".to_owned()),
        (false, _) => ("", points(output.score)),
    }
}
