//! A table as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use super::numbers;
use super::sheet::{FEW, Named, Outcome, Sheet, TaskRow};
use super::visible;
use crate::table::{Score, Table, TrainedRun};

/// The table beside the paper's figures, with verdicts, languages, parts, and cost.
pub fn markdown(table: &Table) -> String {
    let sheet = Sheet::of(table);
    let frame = &table.frame;
    let mut text = format!("# {}\n\n", line(&frame.title));
    if !frame.about.is_empty() {
        let _ = writeln!(text, "{}\n", line(&frame.about));
    }
    text.push_str(&scores(&sheet));
    text.push_str(&footnotes(&sheet));
    text.push_str(&verdicts(&sheet));
    sheet
        .rows()
        .for_each(|row| text.push_str(&languages(&sheet, row)));
    text.push_str(&parts(&sheet));
    text.push_str(&cost(&sheet));
    text.push_str(&circumstances(table));
    text
}

/// Rows are tasks, columns systems, then the paper's.
fn scores(sheet: &Sheet<'_>) -> String {
    let columns = sheet.columns(line);
    let mut text = heading("", &columns);
    for block in &sheet.blocks {
        if let Some(group) = block.group {
            let _ = writeln!(
                text,
                "| **{}** |{}",
                line(group),
                " |".repeat(columns.len())
            );
        }
        for row in &block.rows {
            let paper = row
                .paper
                .iter()
                .map(|figure| figure.map_or(String::new(), numbers::points));
            text.push_str(&cells(
                &line(&row.task.title),
                &row.scores(),
                paper.collect(),
            ));
            for (name, scores) in row.groups() {
                let blank = vec![String::new(); sheet.paper.len()];
                text.push_str(&cells(&format!("· {}", line(name)), &scores, blank));
            }
        }
    }
    let parameters = sheet.table.frame.systems.iter().map(|system| {
        let run = sheet
            .runs(&system.id)
            .first()
            .map(|run| run.trained_parameters);
        numbers::count(run.unwrap_or(0) as u64)
    });
    if !sheet.table.runs.is_empty() {
        let blank = std::iter::repeat_n(String::new(), sheet.paper.len());
        let values: Vec<String> = parameters.chain(blank).collect();
        let _ = writeln!(text, "| trained parameters | {} |", values.join(" | "));
    }
    text.push('\n');
    text
}

/// The first line of a table, and the one below it: a column of texts, then columns of numbers.
fn heading(first: &str, columns: &[String]) -> String {
    format!(
        "| {first} | {} |\n| --- |{}\n",
        columns.join(" | "),
        " ---: |".repeat(columns.len())
    )
}

fn cells(name: &str, scores: &[Option<Score>], rest: Vec<String>) -> String {
    let scores = scores.iter().map(|score| numbers::score(score.as_ref()));
    let all: Vec<String> = scores.chain(rest).collect();
    format!("| {name} | {} |\n", all.join(" | "))
}

fn footnotes(sheet: &Sheet<'_>) -> String {
    let mut metrics: Vec<&str> = sheet
        .rows()
        .map(|row| numbers::metric(row.task.metric))
        .collect();
    metrics.dedup();
    let sentences = sheet.compared().map(|[main, reference]| {
        format!(
            " Sentences compare {} with {} on the same examples, by paired randomisation, corrected for all \
             comparisons of this report (Holm).",
            line(main),
            line(reference)
        )
    });
    format!(
        "{}, from 0 to 100. ± is the standard deviation over seeds; [ ] is the 95 % interval over the examples \
         of all seeds together.{}\n\n",
        metrics.join("; "),
        sentences.unwrap_or_default()
    )
}

fn verdicts(sheet: &Sheet<'_>) -> String {
    let rows = sheet.rows().filter_map(|row| {
        let contrast = row
            .contrast
            .filter(|contrast| !contrast.verdict.is_empty())?;
        let mark = Outcome::of(&contrast.difference).mark();
        Some(format!("* {mark} {}\n", line(&contrast.verdict)))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        rows
    } else {
        format!("{rows}\n")
    }
}

/// Every language of a task, folded if there are many.
fn languages(sheet: &Sheet<'_>, row: &TaskRow<'_>) -> String {
    let languages: Named<'_> = row.languages();
    if languages.is_empty() {
        return String::new();
    }
    let systems = sheet.systems(line);
    let rows = languages
        .iter()
        .map(|(name, scores)| cells(&line(name), scores, Vec::new()));
    let rows: String = rows.collect();
    let table = format!("{}{rows}\n", heading("language", &systems));
    let title = format!(
        "{}: each of {} languages, from low to high resource",
        line(&row.task.title),
        languages.len()
    );
    match languages.len() <= FEW {
        true => format!("{title}.\n\n{table}"),
        false => format!("<details><summary>{title}</summary>\n\n{table}</details>\n\n"),
    }
}

fn parts(sheet: &Sheet<'_>) -> String {
    let systems = sheet.systems(line);
    let breakdowns = sheet
        .table
        .breakdowns
        .iter()
        .filter(|breakdown| !breakdown.parts.is_empty());
    let tables = breakdowns.map(|breakdown| {
        let first = format!(
            "{}, {}",
            line(sheet.task_title(&breakdown.task)),
            line(&breakdown.title)
        );
        let rows = breakdown.parts.iter();
        let rows: String = rows
            .map(|(name, scores)| cells(&line(name), scores, Vec::new()))
            .collect();
        format!("{}{rows}\n", heading(&first, &systems))
    });
    tables.collect()
}

/// Cost of every training.
fn cost(sheet: &Sheet<'_>) -> String {
    if sheet.table.runs.is_empty() {
        return String::new();
    }
    let columns = [
        "seed",
        "trained parameters",
        "paper's count",
        "examples",
        "tokens",
        "steps",
        "batch",
        "optimiser",
        "learning rate",
        "operations",
        "time",
        "peak memory",
        "device",
    ];
    let mut text = heading("training", &columns.map(str::to_owned));
    for run in &sheet.table.runs {
        let _ = writeln!(
            text,
            "| {} | {} |",
            line(sheet.title(&run.system)),
            costs(run).join(" | ")
        );
    }
    text + "\n"
}

fn costs(run: &TrainedRun) -> [String; 13] {
    let unknown = || "–".to_owned();
    let count = |number: usize| numbers::count(number as u64);
    [
        run.seed.to_string(),
        count(run.trained_parameters),
        run.paper_parameters.map_or_else(unknown, count),
        count(run.examples),
        numbers::count(run.tokens),
        count(run.steps),
        count(run.batch),
        line(&run.optimizer),
        run.learning_rate.to_string(),
        run.flops.map_or_else(unknown, numbers::power),
        numbers::seconds(run.seconds),
        run.peak_bytes.map_or_else(unknown, numbers::bytes),
        line(&run.device),
    ]
}

fn circumstances(table: &Table) -> String {
    let run = &table.circumstances;
    let peak = run
        .peak_bytes
        .map(|bytes| format!("peak memory {}", numbers::bytes(bytes)));
    let facts = [
        (run.seconds > 0.0).then(|| format!("wall time {}", numbers::seconds(run.seconds))),
        (run.jobs_reused > 0).then(|| format!("{} jobs done before", run.jobs_reused)),
        peak,
        (!run.device.is_empty()).then(|| format!("device {}", line(&run.device))),
        (!run.system.is_empty()).then(|| line(&run.system)),
        (!run.program.is_empty()).then(|| line(&run.program)),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    match facts.is_empty() {
        true => String::new(),
        false => format!("Of this run: {}.\n", facts.join(", ")),
    }
}

/// A text in one line that Markdown shows as it is.
fn line(text: &str) -> String {
    let mut shown = String::new();
    for letter in visible(text).chars() {
        match letter {
            '\n' | '\t' => shown.push(' '),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' | '@' => {
                shown.extend(['\\', letter])
            }
            letter => shown.push(letter),
        }
    }
    shown
}
