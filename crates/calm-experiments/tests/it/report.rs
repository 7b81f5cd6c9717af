//! Reports as files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use calm_experiments::report;

use crate::wide_tables::{Numbers, hostile, languages, small};

#[test]
fn a_page_holds_everything_and_its_table() {
    let table = small();
    let page = report::html(&table).unwrap();
    for text in [
        "m<sub>A⊕B</sub>",
        "93.5 ± 0.9",
        "is better than",
        "84.3",
        "329\u{202f}216",
        "262\u{202f}144",
        "Gain of",
        "loss of held-out data",
        "operands",
        "1.31 × 10¹⁴",
        "✓ right",
        "✗ wrong",
        "block 2 → block 1",
    ] {
        assert!(page.to_lowercase().contains(&text.to_lowercase()), "{text}");
    }
    assert_eq!(report::table_of(Path::new("page"), &page).unwrap(), table);
    assert!(page.len() < 400_000, "{}", page.len());
}

#[test]
fn a_page_asks_nothing_of_a_network() {
    let page = report::html(&small()).unwrap();
    let places = page.matches("http").count();
    assert_eq!(
        places,
        page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count() + 1,
        "http-equiv"
    );
    for text in [
        "src=",
        "@import",
        "url(",
        "<link rel=\"stylesheet\"",
        "<iframe",
        "<object",
        "<base",
    ] {
        assert!(!page.contains(text), "{text}");
    }
    assert!(
        page.contains("default-src &#x27;none&#x27;; script-src &#x27;sha256-"),
        "{}",
        &page[..600]
    );
}

#[test]
fn hostile_texts_are_texts() {
    let table = hostile();
    let page = report::html(&table).unwrap();
    let plain = report::html(&small()).unwrap();
    // Markup is that of the template alone.
    for tag in [
        "<script", "</script", "<style", "</style", "<img", "<!--", "<h1", "<title",
    ] {
        assert_eq!(
            page.matches(tag).count(),
            plain.matches(tag).count(),
            "{tag}"
        );
    }
    let steering = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert_eq!(page.chars().find(|c| steering(*c)), None);
    assert!(page.contains(r"\u{1b}[31mred") && page.contains(r"\u{202e}desrever"));
    assert!(page.contains("98\u{202f}000 more characters"));
    assert_eq!(report::table_of(Path::new("page"), &page).unwrap(), table);

    let markdown = report::markdown(&table);
    assert!(
        !markdown.contains("<script") && !markdown.contains("[z]("),
        "{markdown}"
    );
    assert!(!markdown.chars().any(steering));
    let text = report::csv(&table).unwrap();
    assert!(!text.lines().any(|line| line.starts_with('=')), "{text}");
}

#[test]
fn forty_languages_and_twenty_thousand_samples_fit() {
    let table = languages(40, 20_000);
    let page = report::html(&table).unwrap();
    assert!(page.len() < 10_000_000, "{}", page.len());
    assert!(page.contains("each of 40 languages"));
    let back = report::table_of(Path::new("page"), &page).unwrap();
    assert_eq!(back.cells, table.cells);
    assert!(back.samples.len() > 8_000, "{}", back.samples.len());
}

#[test]
fn samples_beyond_the_size_of_a_page_are_left_out_evenly() {
    let mut table = languages(4, 1);
    let mut numbers = Numbers(3);
    let row = table.samples.remove(0);
    let noise = |numbers: &mut Numbers, letters: usize| -> String {
        (0..letters)
            .map(|_| char::from(b'!' + (numbers.next() % 90) as u8))
            .collect()
    };
    table.samples = (0..2000)
        .map(|index| calm_experiments::table::SampleRow {
            index,
            prompt: noise(&mut numbers, if index == 7 { 100_000 } else { 5000 }),
            ..row.clone()
        })
        .collect();
    let page = report::html(&table).unwrap();
    assert!(page.len() < 10_000_000, "{}", page.len());
    let back = report::table_of(Path::new("page"), &page).unwrap();
    let places: Vec<usize> = back.samples.iter().map(|row| row.index).collect();
    assert!(places.len() > 800, "{}", places.len());
    assert!(
        !places.contains(&7) && places.windows(2).all(|pair| pair[1] - pair[0] <= 4),
        "{places:?}"
    );
}

#[test]
fn a_table_with_holes_is_shown() {
    let mut table = small();
    table.cells.remove(3);
    table.cells[0].score.interval_95 = None;
    table.samples[0].outputs.truncate(1);
    table.samples[1].task = "gone".to_owned();
    table.attention[0].bridges[0].weights.pop();
    table.frame.main = "gone".to_owned();
    table.runs[0].losses.clear();
    assert!(report::html(&table).unwrap().contains("not evaluated"));
    report::markdown(&table);
    report::terminal(&table);
    report::csv(&table).unwrap();
    let empty = serde_json::from_str::<calm_experiments::table::Table>(
        r#"{"schema": 1, "frame": {"name": "", "title": "", "paper": null, "about": "", "mode": null, "main": "",
            "reference": "", "systems": [], "tasks": []}, "cells": [], "contrasts": [], "breakdowns": [],
            "runs": [], "samples": [], "attention": [], "circumstances": {"program": "", "device": "",
            "system": "", "threads": 0, "seconds": 0, "jobs_reused": 0, "peak_bytes": null, "experiment": ""}}"#,
    );
    let empty = empty.unwrap();
    assert!(report::html(&empty).unwrap().contains("<html"));
    report::markdown(&empty);
    report::terminal(&empty);
}

#[test]
fn markdown_shows_the_table_with_verdicts_and_cost() {
    let text = report::markdown(&small());
    let row = text
        .lines()
        .find(|line| line.starts_with("| KV-Arithmetic |"))
        .unwrap();
    assert!(
        row.contains("93.5 ± 0.9 [92.6, 94.3] |") && row.ends_with("| 0.7 | 0.0 | 84.3 |"),
        "{row}"
    );
    assert!(
        text.contains("* ▲ KV-Arithmetic: m\\_A⊕B is better than m\\_B by 93.4 points"),
        "{text}"
    );
    assert!(
        text.contains("* ≈ Numeric-Arithmetic: m\\_A⊕B and m\\_B cannot be told apart"),
        "{text}"
    );
    // Every row of a table has as many cells as its heading.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let counts: Vec<usize> = table.lines().map(cells).collect();
        assert!(
            counts.iter().all(|count| *count == counts[0]),
            "{counts:?} {table}"
        );
    }
}

#[test]
fn csv_has_a_row_for_every_seed_and_mean() {
    let text = report::csv(&small()).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert!(
        lines[0].starts_with("group,task,metric,system,kind,language,of,seed,score,deviation,"),
        "{}",
        lines[0]
    );
    // Three tasks; five systems with a mean each, four of one seed and one of three.
    assert_eq!(lines.len(), 1 + 3 * (5 + 4 + 3));
    let composed = lines
        .iter()
        .filter(|line| line.contains(",arithmetic,exact_match,composed,composed,"));
    let composed: Vec<&&str> = composed.collect();
    assert!(
        composed[0].contains(",task,mean,93.5,") && composed[0].contains(",84.3,"),
        "{}",
        composed[0]
    );
    assert!(composed[1].contains(",task,0,92.6,"), "{}", composed[1]);
}

#[test]
fn a_terminal_shows_columns() {
    let text = report::terminal(&small());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Table 1: key-value arithmetic");
    let numeric = lines
        .iter()
        .find(|line| line.starts_with("Numeric-Arithmetic"))
        .unwrap();
    assert!(
        numeric.ends_with("4.2        73.7          72.0") || numeric.contains("99.1 [98.3, 99.5]"),
        "{numeric}"
    );
    assert!(
        text.contains("  ▲ m_A⊕B is better than m_B by 93.4 points"),
        "{text}"
    );
}

#[test]
fn what_is_no_table_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let told = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        report::read(&[path]).unwrap_err().to_string()
    };
    let of = |paths: &[&Path]| report::read(&paths.iter().map(Into::into).collect::<Vec<_>>());
    let page = directory.path().join("page.html");
    fs::write(&page, "").unwrap();
    let told_of = |paths: &[&Path]| of(paths).unwrap_err().to_string();
    assert!(
        told_of(&[directory.path()]).contains("holds neither an evaluation nor a trained model")
    );
    assert!(told_of(&[&page, directory.path()]).contains("is a file, of which a report shows one"));
    assert!(told_of(&[Path::new("nowhere")]).contains("nowhere: "));
    assert!(told("a.html", "<html></html>").contains("is no report of calm"));
    assert!(told("b.json", "{\"schema\": 9}").contains("layout 9; this version reads layout 1"));
    assert!(told("c.json", "{\"schema\": 1}").contains("its table cannot be read: missing field"));
    let page = report::html(&small()).unwrap();
    let place = page.find("id=\"calm-table\">").unwrap();
    assert!(told("d.html", &page[..place + 200]).contains("cut off"));
    let damaged = format!("{}AAAA{}", &page[..place + 100], &page[place + 104..]);
    assert!(told("e.html", &damaged).contains("cannot be read"));
    let whole = directory.path().join("f.html");
    fs::write(&whole, &page).unwrap();
    assert_eq!(report::read(&[whole]).unwrap(), small());
}

/// The page in a browser, if `CALM_CHROMIUM` names one: the document that it makes of hostile texts.
#[test]
fn a_browser_shows_hostile_texts_as_texts() {
    let Some(browser) = std::env::var_os("CALM_CHROMIUM") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, report::html(&hostile()).unwrap()).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!(
            "--user-data-dir={}",
            directory.path().join("profile").display()
        ))
        .arg(&page)
        .output()
        .unwrap();
    let document = String::from_utf8_lossy(&output.stdout);
    assert!(document.contains("<title>Table 1: key-value arithmetic</title>"));
    assert_eq!(
        document.matches("<script").count(),
        2,
        "the table and the page's own"
    );
    assert_eq!(document.matches("<h1").count(), 1);
    for tag in ["<img", "<!--"] {
        assert!(!document.contains(tag), "{tag}");
    }
}

/// Writes the pages that people look at: `CALM_PAGES=DIR cargo test … -- pages_to_look_at`.
#[test]
fn pages_to_look_at() {
    let Some(directory) = std::env::var_os("CALM_PAGES").map(PathBuf::from) else {
        return;
    };
    let tables = [
        ("small", small()),
        ("hostile", hostile()),
        ("languages", languages(40, 20_000)),
        ("few", languages(6, 60)),
    ];
    for (name, table) in tables {
        let write = |ending: &str, text: &str| {
            fs::write(directory.join(format!("{name}.{ending}")), text).unwrap()
        };
        let started = std::time::Instant::now();
        let page = report::html(&table).unwrap();
        write(
            "time",
            &format!("{:.0?}, {} bytes", started.elapsed(), page.len()),
        );
        write("html", &page);
        write("md", &report::markdown(&table));
        write("csv", &report::csv(&table).unwrap());
        write("txt", &report::terminal(&table));
    }
}
