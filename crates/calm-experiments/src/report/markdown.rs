//! A table as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use super::bands::{Band, Named};
use super::numbers;
use super::sheet::{FEW, Outcome, Sheet, TaskRow};
use super::visible;
use crate::table::{Difference, Score, Table, TrainedRun};

/// Blocks of the longest bar.
const LONGEST: usize = 20;

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
    text.push_str(&findings(table));
    text.push_str(&verdicts(&sheet));
    sheet
        .rows()
        .for_each(|row| text.push_str(&languages(&sheet, row)));
    text.push_str(&parts(&sheet));
    text.push_str(&comparisons(&sheet));
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
        for band in block.rows.iter().flat_map(TaskRow::bands) {
            let name = line(band.name);
            let is_group = !block.rows.iter().any(|row| std::ptr::eq(&row.whole, band));
            let name = if is_group { format!("· {name}") } else { name };
            text.push_str(&cells(&name, &band.scores, figures(&band.paper)));
            text.push_str(&wins(sheet, band));
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

/// The paper's figures.
fn figures(paper: &[Option<f64>]) -> Vec<String> {
    let figures = paper.iter();
    let figures = figures.map(|figure| figure.map_or(String::new(), numbers::points));
    figures.collect()
}

/// In how many languages systems are better than the reference.
fn wins(sheet: &Sheet<'_>, band: &Band<'_>) -> String {
    let (Some(wins), Some([_, reference])) = (&band.wins, sheet.compared()) else {
        return String::new();
    };
    let systems = wins.systems.iter().map(|wins| numbers::wins(*wins));
    let paper = wins.paper.iter();
    let paper = paper.map(|figure| figure.map_or(String::new(), line));
    let all: Vec<String> = systems.chain(paper).collect();
    format!(
        "| · of {} languages, better than {} in | {} |\n",
        wins.languages,
        line(reference),
        all.join(" | ")
    )
}

/// What was to be reached, and what was.
fn findings(table: &Table) -> String {
    if table.findings.is_empty() {
        return String::new();
    }
    let mut text =
        "| to be reached | expected | measured | |\n| --- | --- | --- | --- |\n".to_owned();
    for finding in &table.findings {
        let [mark, word] = numbers::reached(finding.is_reached);
        let texts = [&finding.title, &finding.expected, &finding.found].map(|text| line(text));
        let _ = writeln!(text, "| {} | {mark} {word} |", texts.join(" | "));
    }
    text + "\n"
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
    let wins = match sheet.rows().any(|row| row.whole.wins.is_some()) {
        true => " Of languages, those beyond chance are in brackets.",
        false => "",
    };
    format!(
        "{}, from 0 to 100. ± is the standard deviation over seeds; [ ] is the 95 % interval over the examples \
         of all seeds together.{wins}{}\n\n",
        metrics.join("; "),
        sentences.unwrap_or_default()
    )
}

fn verdicts(sheet: &Sheet<'_>) -> String {
    let rows = sheet.rows().flat_map(|row| {
        let title = line(&row.task.title);
        row.bands().filter_map(move |band| {
            let (difference, verdict) = band.verdict?;
            let mark = Outcome::of(difference).mark();
            Some(format!("* {mark} {title}: {}\n", line(verdict)))
        })
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        rows
    } else {
        format!("{rows}\n")
    }
}

/// Every language of a task with its gain, folded if there are many.
fn languages(sheet: &Sheet<'_>, row: &TaskRow<'_>) -> String {
    let languages: Named<'_> = row.languages();
    if languages.is_empty() {
        return String::new();
    }
    let gains = row.contrast.map_or(&[][..], |contrast| &contrast.languages);
    let most = gains.iter().map(|(_, gain)| gain.points.abs());
    let most = most.fold(0.0, f64::max);
    let gain = |name: &str| {
        let found = gains.iter().find(|(one, _)| one == name);
        found.map(|(_, gain)| vec![difference(gain), bar(gain.points, most)])
    };
    let empty = || vec![String::new(); 2 * usize::from(!gains.is_empty())];
    let rows = languages
        .iter()
        .map(|(name, scores)| cells(&line(name), scores, gain(name).unwrap_or_else(empty)));
    let means = row.bands().filter(|_| languages.len() > 1);
    let means = means.map(|band| {
        let name = format!("**mean of {}**", line(band.name));
        let gain = band.verdict.map(|(gain, _)| {
            vec![
                difference(gain),
                bar(gain.points, most.max(gain.points.abs())),
            ]
        });
        cells(&name, &band.scores, gain.unwrap_or_else(empty))
    });
    let rows: String = rows.chain(means).collect();
    let mut columns = sheet.systems(line);
    if !gains.is_empty() {
        columns.extend(["gain".to_owned(), String::new()]);
    }
    let table = format!("{}{rows}\n", heading("language", &columns));
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

/// A difference with its mark and interval.
fn difference(found: &Difference) -> String {
    let mark = Outcome::of(found).mark();
    let (points, interval) = (found.points, numbers::signed_interval(found.interval_95));
    format!("{mark} {} {interval}", numbers::signed(points))
}

/// A bar of blocks, of which the longest stands for `most` points; pale below zero.
fn bar(points: f64, most: f64) -> String {
    let share = (points.abs() / most * LONGEST as f64).round();
    let length = if share.is_finite() { share as usize } else { 0 };
    let block = if points < 0.0 { "░" } else { "█" };
    block.repeat(length)
}

/// Every comparison, folded.
fn comparisons(sheet: &Sheet<'_>) -> String {
    let contrasts = &sheet.table.contrasts;
    let has_wins = contrasts
        .iter()
        .any(|contrast| !contrast.languages.is_empty());
    let rows = contrasts.iter().flat_map(|contrast| {
        let [system, against] =
            [&contrast.system, &contrast.against].map(|id| line(sheet.title(id)));
        let row = move |place: String, found: &Difference, wins: [[usize; 2]; 2]| {
            let p = numbers::p_value(found.p_corrected);
            let wins = match has_wins {
                true => format!(" {} | {} |", pair(wins[0]), pair(wins[1])),
                false => String::new(),
            };
            let found = difference(found);
            format!("| {place} | {system} | {against} | {found} | {p} |{wins}\n")
        };
        let task = line(sheet.task_title(&contrast.task));
        let whole = row(
            task.clone(),
            &contrast.difference,
            [contrast.wins, contrast.significant_wins],
        );
        let groups = contrast.groups.iter().map(move |group| {
            let place = format!("{task}, {}", line(&group.group));
            row(
                place,
                &group.difference,
                [group.wins, group.significant_wins],
            )
        });
        std::iter::once(whole).chain(groups)
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    let (wins, ends) = match has_wins {
        true => (" languages won : lost | beyond chance |", " ---: | ---: |"),
        false => ("", ""),
    };
    format!(
        "<details><summary>All comparisons</summary>\n\n\
         | task | system | against | difference | p, corrected |{wins}\n\
         | --- | --- | --- | ---: | ---: |{ends}\n{rows}\n</details>\n\n"
    )
}

fn pair([won, lost]: [usize; 2]) -> String {
    format!("{won} : {lost}")
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
