//! Scores on parts of the examples.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use calm_eval::Statistics;
use calm_eval::tasks::Expression;
use rayon::prelude::*;

use super::evaluated::TableOptions;
use super::measured::{Measured, MeasuredSystem};
use super::scores::{LanguageScores, mean_score};
use super::{Breakdown, Score, TableError};

/// Most parts that a reader can take in.
const MOST_PARTS: usize = 200;

/// Examples of a part: by language, their numbers.
type Part = BTreeMap<usize, Vec<usize>>;

/// Scores by the parts that the frame asks for, of all tasks.
pub(super) fn breakdowns(
    measured: &[Measured<'_>],
    options: &TableOptions,
) -> Result<Vec<Breakdown>, TableError> {
    let all = measured.iter().flat_map(|task| {
        let parts = task.frame.parts.iter();
        parts.map(move |(title, expression)| breakdown(task, title, expression, options))
    });
    all.collect()
}

fn breakdown(
    task: &Measured<'_>,
    title: &str,
    expression: &str,
    options: &TableOptions,
) -> Result<Breakdown, TableError> {
    let bad = |reason| TableError::Parts {
        task: task.frame.id.clone(),
        title: title.to_owned(),
        reason,
    };
    let parts = parts(task, expression).map_err(bad)?;
    let parts = parts.into_par_iter().map(|(value, part)| {
        let systems = task.systems.iter();
        let scores = systems.map(|system| score(task, system.as_ref()?, &part, options));
        (value, scores.collect())
    });
    Ok(Breakdown {
        task: task.frame.id.clone(),
        title: title.to_owned(),
        parts: parts.collect(),
    })
}

/// Parts by the value of an expression, in the natural order of values. An example whose value is
/// empty belongs to none.
fn parts(task: &Measured<'_>, expression: &str) -> Result<Vec<(String, Part)>, String> {
    let parsed = Expression::parse(expression)?;
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    let groups = task.groups();
    for (language, samples) in task.examples() {
        let groups = groups.iter().filter(|(_, of)| of.contains(&language));
        let groups: Vec<&str> = groups.map(|(group, _)| *group).collect();
        for (number, sample) in samples.iter().enumerate() {
            let mut record = sample.record.clone();
            let name = || sample.language.clone().into();
            record.entry("language").or_insert_with(name);
            record
                .entry("groups")
                .or_insert_with(|| groups.clone().into());
            let value = parsed.text(&record).map_err(|reason| {
                format!("'{expression}' of example {}: {reason}", sample.index)
            })?;
            if value.is_empty() {
                continue;
            }
            let part = parts.entry(value).or_default();
            part.entry(language).or_default().push(number);
        }
        if parts.len() > MOST_PARTS {
            return Err(format!(
                "'{expression}' has more than {MOST_PARTS} values; give one with fewer"
            ));
        }
    }
    let mut parts: Vec<(String, Part)> = parts.into_iter().collect();
    parts.sort_by(|(a, _), (b, _)| natural(a, b));
    Ok(parts)
}

fn score(
    task: &Measured<'_>,
    system: &MeasuredSystem<'_>,
    part: &Part,
    options: &TableOptions,
) -> Option<Score> {
    let of_language = |(&language, numbers): (&usize, &Vec<usize>)| {
        let seeds = system.seeds.iter();
        let seeds: Vec<Statistics<'_>> = seeds
            .map(|seed| seed.counted[language].select(numbers.iter().copied()))
            .collect();
        let seeds: Vec<&Statistics<'_>> = seeds.iter().collect();
        LanguageScores::new(task.frame.metric, &seeds, language, options).ok()
    };
    let languages: Option<Vec<LanguageScores>> = part.iter().map(of_language).collect();
    mean_score(&languages?.iter().collect::<Vec<_>>())
}

/// Numbers by value, before texts; numbers within texts by value, too.
fn natural(a: &str, b: &str) -> Ordering {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => pieces(a).cmp(&pieces(b)).then_with(|| a.cmp(b)),
    }
}

/// Digits, by value, and what is between them. A value is its length without zeros in front, and
/// its digits.
fn pieces(text: &str) -> Vec<(usize, &str)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_digits = first.is_ascii_digit();
        let end = rest.find(|char: char| char.is_ascii_digit() != is_digits);
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        let value = piece.trim_start_matches('0');
        pieces.push(match is_digits {
            true => (value.len(), value),
            false => (usize::MAX, piece),
        });
        rest = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_natural_order() {
        let mut values = [
            "10", "b", "2", "-1", "a10", "a9", "a", "1.5", "false", "a09",
        ];
        values.sort_by(|a, b| natural(a, b));
        let expected = [
            "-1", "1.5", "2", "10", "a", "a09", "a9", "a10", "b", "false",
        ];
        assert_eq!(values, expected);
    }
}
