//! Runs side by side.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::run::{Run, RunReport, plain};
use crate::report::{Report, columns};

/// A longer value is cut: the beginnings of two hashes tell them apart.
const LETTERS: usize = 28;

/// Runs side by side, for programs.
#[derive(Serialize)]
struct CompareReport<'a> {
    differences: BTreeMap<String, Vec<Option<String>>>,
    runs: Vec<RunReport<'a>>,
}

/// Settings in which these runs differ, then their figures.
pub(super) fn report(runs: &[Run]) -> Report {
    let differences = differences(runs);
    let mut lines = vec![line("", runs.iter().map(|run| run.name.clone()))];
    lines.extend(differences.iter().map(|(name, values)| {
        let values = values.iter().map(|value| short(value.as_deref()));
        line(name, values)
    }));
    let figures: Vec<Vec<(String, String)>> = runs.iter().map(Run::figures).collect();
    for (number, (name, _)) in figures[0].iter().enumerate() {
        lines.push(line(name, figures.iter().map(|run| run[number].1.clone())));
    }
    let report = CompareReport {
        differences: differences.into_iter().collect(),
        runs: runs.iter().map(Run::report).collect(),
    };
    Report::new(columns(&lines), report)
}

fn line(name: &str, values: impl Iterator<Item = String>) -> Vec<String> {
    [name.to_owned()].into_iter().chain(values).collect()
}

/// Names of settings that are not the same in all, each with its values.
fn differences(runs: &[Run]) -> Vec<(String, Vec<Option<String>>)> {
    let all: Vec<Vec<(String, String)>> = runs.iter().map(Run::settings).collect();
    let maps: Vec<HashMap<&str, &str>> = all
        .iter()
        .map(|settings| {
            settings
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect()
        })
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in all.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let values = |name: &str| {
        let values = maps
            .iter()
            .map(|map| map.get(name).map(|v| (*v).to_owned()));
        values.collect::<Vec<_>>()
    };
    let rows = names
        .into_iter()
        .map(|name| (name.to_owned(), values(name)));
    rows.filter(|(_, values)| values.iter().any(|value| *value != values[0]))
        .collect()
}

fn short(value: Option<&str>) -> String {
    let Some(value) = value.map(plain) else {
        return "-".to_owned();
    };
    if value.chars().count() <= LETTERS {
        return value;
    }
    let beginning: String = value.chars().take(LETTERS - 1).collect();
    format!("{beginning}…")
}
